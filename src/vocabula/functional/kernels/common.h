/* What the kernels share: how they are called, on which instructions, and on several threads. */

#ifndef VOCABULA_COMMON_H
#define VOCABULA_COMMON_H

#include <stdint.h>

#if defined(__x86_64__)
#define X86 1
#elif defined(__aarch64__)
#define ARM 1
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* Functions that are compiled once, for what any instruction set of `has_instructions` includes. */
#ifdef X86
#define VECTORIZED __attribute__((target("avx2,fma")))
#else
#define VECTORIZED
#endif

/* torch's own threads: `torch_parallel_for`, handed over by the caller. */
typedef void (*range)(int64_t begin, int64_t end, void *context);
typedef int32_t (*parallel)(int64_t begin, int64_t end, int64_t grain, range body, void *context);

/* Whether the instruction set, "avx512", "avx2" or "neon", was compiled in and can run here. */
int has_instructions(const char *name);

#endif
