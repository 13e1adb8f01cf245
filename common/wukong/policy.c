/* */ typedef int policy_empty;
