/* */ typedef int patch_empty;
