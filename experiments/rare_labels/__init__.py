"""Thousands of rare labels: costs per label against categorical cross-entropy on the positives.

Section VI of the paper leaves open how its binary loss compares with what Mahajan et al. (2018)
found better than binary cross-entropy where each of thousands of labels is rare: a softmax whose
target is 1/k on each of the k labels. Here the labels are the most frequent words of the Brown
corpus: which of them occur in the next sentence is predicted from the present one.
"""
