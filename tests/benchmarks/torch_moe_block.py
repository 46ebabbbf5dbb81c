#!/usr/bin/env python3
"""Times PyTorch's mixture-of-experts block (transformers' Mixtral), gate to combine, for a comparison
in the same run as `switchyard bench experts`. Prints one line for each number of rows."""

import argparse
import statistics

import torch
from transformers import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock


def seconds_of(run, device):
    """Seconds of one call, by events of the GPU where there is one."""
    if device.type != "cuda":
        import time
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--ffn", type=int, default=14336)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 128, 1024, 4096])
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(1)
    config = MixtralConfig(hidden_size=args.hidden, intermediate_size=args.ffn,
                           num_local_experts=args.experts, num_experts_per_tok=args.top_k)
    with torch.device(device), torch.no_grad():
        block = MixtralSparseMoeBlock(config).to(torch.bfloat16).eval()
        for parameter in block.parameters():
            parameter.normal_(std=0.02)
        print(f"PyTorch {torch.__version__} on {device}: hidden {args.hidden}, ffn {args.ffn}, "
              f"{args.experts} experts, top {args.top_k}, bf16")
        for rows in args.rows:
            x = torch.randn(1, rows, args.hidden, dtype=torch.bfloat16)
            for _ in range(3):
                block(x)
            times = [seconds_of(lambda: block(x), device) for _ in range(args.repeats)]
            flops = 2 * 3 * rows * args.top_k * args.hidden * args.ffn
            median = statistics.median(times)
            print(f"{rows:6d} rows  {median * 1e3:9.3f} ms ({min(times) * 1e3:.3f} .. "
                  f"{max(times) * 1e3:.3f})  {flops / median * 1e-12:8.2f} TFLOP/s")


if __name__ == "__main__":
    main()
