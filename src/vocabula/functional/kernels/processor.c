/* Which instruction sets this processor has. */

#include "common.h"

#include <string.h>

#ifdef X86
#include <cpuid.h>

/* Whether 512-bit operations run as two halves (AMD family 19h): 256 bits then waste fewer rows. */
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

/* The name of the fastest instruction set, or null where the kernels have none to run on. */
EXPORT const char *vocabula_instructions(void)
{
    if (has_instructions("avx512") && !halves_512()) return "avx512";
    return has_instructions("avx2") ? "avx2" : 0;
}

#elif defined(ARM)

int has_instructions(const char *name) { return !strcmp(name, "neon"); }

EXPORT const char *vocabula_instructions(void) { return "neon"; }

#else

int has_instructions(const char *name) { return 0 && name; }

EXPORT const char *vocabula_instructions(void) { return 0; }

#endif
