/* */ typedef int facts_empty;
