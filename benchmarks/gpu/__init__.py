"""What a GPU is worth: `bash benchmarks/gpu/gpu.sh` measures part by part, and writes one table."""
