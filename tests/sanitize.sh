#!/usr/bin/env bash
# Run tests with the compiled kernels under AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/sanitize.sh [arguments of pytest]        PYTHON=.venv/bin/python CC=gcc
#
# A copy of the package in build/sanitized gets kernels of its own; the usual ones stay as they are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
compiler=${CC:-gcc}
place=$PWD/build/sanitized

rm -rf "$place"
mkdir -p "$place"
cp -r src/vocabula "$place/"
rm -f "$place"/vocabula/functional/_kernels*.so
"$compiler" -g -O1 -std=gnu11 -fPIC -shared -fno-omit-frame-pointer -fno-trapping-math -fno-math-errno \
    -fvisibility=hidden -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    "$place"/vocabula/functional/kernels/*.c -o "$place/vocabula/functional/_kernels.abi3.so" -lm

# The C++ library, too: without it the sanitizer does not find what throws torch's exceptions.
preloaded=""
for library in libasan.so libubsan.so libstdc++.so.6; do
    preloaded+=" $("$compiler" -print-file-name="$library")"
done
export PYTHONPATH=$place${PYTHONPATH:+:$PYTHONPATH} OMP_NUM_THREADS=1
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
# These two measure memory, of which a sanitizer takes as much again.
LD_PRELOAD=${preloaded# } exec "$python" -m pytest -p no:cacheprovider \
    --deselect tests/benchmark/test_contest.py::test_peak_memory_is_what_a_call_holds_beside_its_output \
    --deselect tests/cli/test_cli_memory.py::test_a_photograph_of_twelve_megapixels_fits "$@"
