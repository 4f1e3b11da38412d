/* Which instruction sets this processor has. */

#include "common.h"

#include <string.h>

#ifdef X86
#include <cpuid.h>

/* Whether 512-bit operations run as two halves (AMD family 19h). */
static int halves_512(void)
{
    unsigned int version, vendor[3], unused;
    if (!__get_cpuid(0, &unused, vendor, vendor + 2, vendor + 1)) return 0;
    if (memcmp(vendor, "AuthenticAMD", 12) || !__get_cpuid(1, &version, &unused, &unused, &unused))
        return 0;
    return (version >> 8 & 15) + (version >> 20 & 255) == 0x19;
}

int has_instructions(const char *name)
{
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!strcmp(name, "avx2")) return avx2;
    return !strcmp(name, "avx512") && avx2 && __builtin_cpu_supports("avx512f");
}

/* The name of the instruction set that is fastest for vectors of dim coordinates, or null where the
 * kernels have none to run on. Where 512 bits run as two halves they save instructions, which
 * counts for narrow vectors; products of wide ones waste less time on smaller tiles. */
EXPORT const char *vocabula_instructions(int64_t dim)
{
    if (has_instructions("avx512") && (dim <= 16 || !halves_512())) return "avx512";
    return has_instructions("avx2") ? "avx2" : 0;
}

#elif defined(ARM)

int has_instructions(const char *name) { return !strcmp(name, "neon"); }

EXPORT const char *vocabula_instructions(int64_t dim) { return dim > 0 ? "neon" : 0; }

#else

int has_instructions(const char *name) { return 0 && name; }

EXPORT const char *vocabula_instructions(int64_t dim) { return 0 * dim; }

#endif
