/* */ typedef int source_empty;
