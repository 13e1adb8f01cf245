/* */ typedef int disks_empty;
