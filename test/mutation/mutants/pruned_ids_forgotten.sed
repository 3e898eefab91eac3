# src/play/prune.c
# the id of a pruned action can be used again
s/g.seq FROM gone g\), sums/g.seq FROM gone g WHERE false), sums/
