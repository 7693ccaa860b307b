"""One readable loop for each method. What two of them share lives a floor below.

Each file opens with what the loop does, what it leaves out and why; then `train`, its steps numbered, and what it
calls, in the order of the calls. A tensor's name ends in its shape:

    B  completions of a batch             T  positions of the longest row, prompt and completion
    N  rows, tokens or comparisons        L  positions of the longest row, where rows were laid out anew
    P  prompts, G  completions of one     K  completions of one prompt that are ranked
    V  vocabulary, H  hidden size         2  chosen and rejected, in this order

so `logprobs_BT` is (B, T) and `rewards_PG` (P, G). (B, T) tensors are 0 outside of what they are about.
"""
