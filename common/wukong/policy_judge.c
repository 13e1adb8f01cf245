/* */ typedef int policy_judge_empty;
