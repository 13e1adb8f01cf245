/* */ typedef int class_empty;
