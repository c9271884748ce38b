"""The losses of single examples, exact and finite. Stability is argued only here.

Autodiff of the formula fails: ``log(1 - p)`` is -inf, and its gradient NaN, as soon as the softmax
rounds to 1 (a logit gap of 17 in float32). This can only happen to a class that holds more than
half of the probability, and a row has at most one: its *leader*. There ``1 - p`` is the sum of all
other probabilities, where nothing cancels. For the others ``log1p(-p)`` and ``1 - p`` are safe,
because p <= 1/2. See ``split`` and ``categorical``.
"""
