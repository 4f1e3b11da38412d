/* Floyd-Steinberg error diffusion over a palette, in whole numbers: the same codes everywhere. */

#include "common.h"

#include <stdlib.h>
#include <string.h>

#define LANES 16 /* the palette is padded to whole vectors */

#ifdef X86
/* The library is asked only where there is AVX2; without it the compiler has no vector product. */
#define TARGET __attribute__((target("avx2")))
#else
#define TARGET
#endif

typedef struct {
    const int32_t *image, *palette; /* (height, width, dim), (size, dim) */
    int64_t height, width, size, padded;
    int32_t most;
    int64_t *codes;
    int32_t *table;       /* (dim, padded) the palette, its last colour repeated */
    int32_t *distance;    /* (padded) */
    int32_t *here, *below; /* (width + 2, dim) errors carried to this row and to the next */
} diffusion;

/* The colour nearest to x, ties to the lowest index. */
TARGET static inline __attribute__((always_inline)) int64_t nearest(const diffusion *s,
                                                                     const int32_t *x,
                                                                     const int dim)
{
    int32_t *distance = s->distance, least = INT32_MAX;
    for (int64_t k = 0; k < s->padded; k++) {
        int32_t sum = 0;
        for (int i = 0; i < dim; i++) {
            int32_t d = x[i] - s->table[i * s->padded + k];
            sum += d * d;
        }
        distance[k] = sum;
    }
    for (int64_t k = 0; k < s->padded; k++) least = distance[k] < least ? distance[k] : least;
    int64_t code = 0;
    while (distance[code] != least) code++;
    return code;
}

TARGET static inline __attribute__((always_inline)) void diffuse(diffusion *s, const int dim)
{
    for (int64_t y = 0; y < s->height; y++) {
        for (int64_t c = 0; c < s->width; c++) {
            int32_t x[4];
            int32_t *error = s->here + (c + 1) * dim, *next = s->below + c * dim;
            for (int i = 0; i < dim; i++) {
                int32_t value = s->image[(y * s->width + c) * dim + i] + error[i];
                x[i] = value < 0 ? 0 : value > s->most ? s->most : value;
            }
            int64_t code = nearest(s, x, dim);
            s->codes[y * s->width + c] = code;
            for (int i = 0; i < dim; i++) {
                int32_t e = x[i] - s->palette[code * dim + i];
                /* Arithmetic shifts: shares round down, and the last one takes what is left. */
                int32_t right = (7 * e) >> 4, left = (3 * e) >> 4, down = (5 * e) >> 4;
                error[dim + i] += right;
                next[i] += left;
                next[dim + i] += down;
                next[2 * dim + i] += e - right - left - down;
            }
        }
        int32_t *done = s->here;
        s->here = s->below;
        s->below = done;
        memset(done, 0, (size_t)((s->width + 2) * dim) * sizeof(int32_t));
    }
}

TARGET static void diffuse_1(diffusion *s) { diffuse(s, 1); }
TARGET static void diffuse_2(diffusion *s) { diffuse(s, 2); }
TARGET static void diffuse_3(diffusion *s) { diffuse(s, 3); }
TARGET static void diffuse_4(diffusion *s) { diffuse(s, 4); }

/* Write to codes (height, width) the colour of palette (size, dim) that each pixel of image
 * (height, width, dim) gets when its error goes to the neighbours after it. dim is 1 to 4, and
 * values lie in [0, most], where 4 most^2 < 2^31. Returns 0, or 1 without memory. */
EXPORT int32_t vocabula_floyd_steinberg(const int32_t *image, int64_t height, int64_t width,
                                        int64_t dim, const int32_t *palette, int64_t size,
                                        int32_t most, int64_t *codes, const char *name,
                                        parallel over)
{
    (void)name, (void)over;
    static void (*const bodies[])(diffusion *) = {diffuse_1, diffuse_2, diffuse_3, diffuse_4};
    int64_t padded = (size + LANES - 1) / LANES * LANES;
    size_t row = (size_t)((width + 2) * dim);
    diffusion s = {.image = image, .palette = palette, .height = height, .width = width,
                   .size = size, .padded = padded, .most = most, .codes = codes};
    s.table = malloc((size_t)(padded * dim) * sizeof(int32_t));
    s.distance = malloc((size_t)padded * sizeof(int32_t));
    int32_t *one = s.here = calloc(row, sizeof(int32_t));
    int32_t *two = s.below = calloc(row, sizeof(int32_t));
    int failed = !(s.table && s.distance && one && two);
    if (!failed) {
        for (int64_t k = 0; k < padded; k++)
            for (int64_t i = 0; i < dim; i++)
                s.table[i * padded + k] = palette[(k < size ? k : size - 1) * dim + i];
        bodies[dim - 1](&s);
    }
    free(s.table); free(s.distance); free(one); free(two);
    return failed;
}
