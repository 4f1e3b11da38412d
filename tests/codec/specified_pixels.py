"""The model of exact pixels written from docs/vcb.md alone: nothing of the library is used."""

from __future__ import annotations

from math import prod

from .specified import SQUASH, STRETCH, Message, bound

Plane = list[list[int]]
ALONE = [-2, -19, 1, -8, -5, 1, 2, 7, 9, 2, 2, 9, 10, 3, 9]
SECOND = [-13, -28, 17, *[0] * 12, 50, 24, -28, 16]
THIRD = [-14, -29, 17, *[0] * 12, 32, 15, -16, 11, 0, 19, 9, -13, 5]
COMPASS = {"w": (0, -1), "n": (-1, 0), "nw": (-1, -1), "ne": (-1, 1), "ww": (0, -2)}
COMPASS |= {"nn": (-2, 0), "nne": (-2, 1), "nee": (-1, 2), "nww": (-1, -2)}
AROUND = {"": (0, 0), "w": (0, -1), "n": (-1, 0), "nw": (-1, -1), "ne": (-1, 1)}
AROUND |= {"e": (0, 1), "s": (1, 0)}


def level(x: int) -> int:
    if x == 0:
        return 0
    b = (x + 1).bit_length() - 1
    return 2 * b - 1 + (x + 1) // 2 ** (b - 1) % 2


def class_of(e: int) -> int:
    c = min(5, ((abs(e) + 4) >> 2).bit_length() - 1)
    return 5 + c if e >= 0 else 5 - c


def med(a: int, b: int, c: int) -> int:
    return sorted((a, b, a + b - c))[1]


def start(lev: int, node: int) -> int:
    """Probability of 1 in 2^22 before anything is known."""
    b, h = (lev + 1) // 2, int(lev % 2 == 0)
    size = (5 + 2 * h) * 2**b if lev else 4
    t = [2**30 * size // (size + 32)]
    while len(t) < 8:
        t.append(t[-1] ** 2 >> 30)
    one = 2**21
    if node == 0:
        one = 2**23 * t[0] // (2**30 + t[0])
    elif 2 <= node < 16:
        one = t[(node - 2) % 7] >> 8
    elif node >= 16:
        bit = node - 16 if node < 23 else (node - 23) // 2 if node < 35 else node - 35
        one = 2**22 * t[bit] // (2**30 + t[bit])
    return max(64, min(2**22 - 64, one))


class Pixels:
    """Decodes the planes of images, in the order of coding."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.own: dict[tuple[int, int, int], list[int]] = {}
        self.cells: dict[tuple[int, ...], list[int]] = {}
        self.w0: dict[tuple[int, int], int] = {}
        self.wc: dict[tuple[int, int, int, int], int] = {}
        rows = [ALONE, SECOND, THIRD, ALONE]
        self.filters = [[[1024 * x for x in r] + [0] * 15 for _ in range(2)] for r in rows]

    def image(self, shown: list[Plane]) -> list[Plane]:
        """The planes of an image, of the reconstruction in the same order."""
        height, width = len(shown[0]), len(shown[0][0])
        self.shown, self.height, self.width = shown, height, width
        self.planes: list[Plane] = [[] for _ in shown]
        # errors of the six predictions and of P, as planes
        self.errors: list[list[Plane]] = [[[] for _ in range(7)] for _ in shown]
        for _ in range(height):
            for k in range(len(shown)):
                self.planes[k].append([])
                for track in self.errors[k]:
                    track.append([])
            for x in range(width):
                for k in range(len(shown)):
                    self.value(k, x)
        return self.planes

    def at(self, plane: Plane, first: list[int], y: int, x: int) -> int:
        """A value of a plane of which `first` stands above the row 0."""
        if x < 0 and y >= 0:
            y, x = y - 1, 0
        row = plane[y] if y >= 0 else first
        return row[min(max(0, x), self.width - 1)]

    def near(self, k: int, name: str) -> int:
        y, x = COMPASS[name]
        return self.at(self.planes[k], self.shown[k][0], self.y + y, self.x + x)

    def error(self, k: int, track: int, name: str) -> int:
        y, x = COMPASS[name]
        return self.at(self.errors[k][track], [0] * self.width, self.y + y, self.x + x)

    def q(self, k: int, name: str = "") -> int:
        y, x = AROUND[name]
        y, x = min(max(0, self.y + y), self.height - 1), min(max(0, self.x + x), self.width - 1)
        return self.shown[k][y][x]

    def value(self, k: int, x: int) -> None:
        self.y, self.x = len(self.planes[k]) - 1, x
        v = {name: self.near(k, name) for name in COMPASS}
        q = {name: self.q(k, name) for name in AROUND}
        m = (v["w"] + v["n"] + 1) >> 1
        inputs = [v["n"] - v["w"]]
        inputs += [v[name] - m for name in ("nw", "ne", "ww", "nn", "nne", "nee", "nww")]
        inputs += [q[""] - q[name] for name in ("w", "n", "nw", "ne")]
        inputs += [q["e"] - q[""], q["s"] - q[""], q[""] - m]
        for c in range(k):
            here = self.planes[c][self.y][x]
            inputs += [here - self.near(c, name) for name in ("w", "n", "nw", "ne")]
            inputs.append(here - self.q(c))
        p = self.predict(k, v, q, m, inputs)
        weights = []
        for i in range(6):
            e = {name: self.error(k, i, name) for name in ("w", "ww", "n", "nw", "ne")}
            near = 2 * e["w"] + e["ww"] + 2 * e["n"] + e["nw"] + e["ne"]
            weights.append(2 ** (34 if i < 2 else 32) // (near * near + 64) + 1)
        total = sum(weights)
        big = (sum(w * one for w, one in zip(weights, p, strict=True)) + total // 2) // total
        found = self.decide(k, big, self.contexts(k, v, q, p, big))
        self.planes[k][-1].append(found)
        for i in range(6):
            self.errors[k][i][-1].append(abs(8 * found - p[i]))
        self.errors[k][6][-1].append(8 * found - big)
        energy, n = sum(one * one for one in inputs), len(inputs)
        for f, a in enumerate((13, 9)):
            e8 = 8 * found - p[f]
            g = 2**20 * abs(e8) // (energy + 64 + 8 * n) * (1 if e8 > 0 else -1)
            for i, one in enumerate(inputs):
                w = self.filters[k][f]
                w[i] = bound(w[i] + ((g * one + 2 ** (a - 1)) >> a))

    def predict(
        self, k: int, v: dict[str, int], q: dict[str, int], m: int, inputs: list[int]
    ) -> list[int]:
        middle = med(v["w"], v["n"], v["nw"])
        p = [
            8 * m + ((sum(w * i for w, i in zip(row, inputs, strict=False)) + 2**12) >> 13)
            for row in self.filters[k]
        ]
        c0 = self.planes[0][self.y][self.x] if k else 0
        cl = self.planes[k - 1][self.y][self.x] if k else 0
        p.append(8 * middle)
        if k:
            p.append(8 * m + 4 * (2 * c0 - self.near(0, "w") - self.near(0, "n")))
        else:
            p.append(8 * (v["w"] + v["ne"] - v["n"]))
        miss = {name: v[name] - q[name] for name in ("w", "n", "ne", "nw")}
        p.append(8 * q[""] + 4 * miss["w"] + 4 * miss["n"] + 2 * miss["ne"] - 2 * miss["nw"])
        if k:
            around = (self.near(k - 1, name) for name in ("w", "n", "nw"))
            p.append(8 * (middle + cl - med(*around)))
        else:
            p.append(8 * (2 * v["n"] - v["nn"]))
        return [max(0, min(2040, one)) for one in p]

    def contexts(
        self, k: int, v: dict[str, int], q: dict[str, int], p: list[int], big: int
    ) -> tuple[int, list[int]]:
        f = {name: self.error(k, 6, name) for name in ("w", "ww", "n", "nw", "ne")}
        noise = 2 * abs(f["w"]) + abs(f["ww"]) + 2 * abs(f["n"]) + abs(f["nw"]) + abs(f["ne"])
        noise //= 7
        f0 = self.errors[0][6][self.y][self.x] if k > 0 else 0
        f1 = self.errors[1][6][self.y][self.x] if k > 1 else 0
        if k == 1:
            noise = (noise + abs(f0)) // 2
        if k > 1:
            noise = (2 * noise + 3 * abs(f0) + 3 * abs(f1)) // 8
        lev = level(noise)
        c = lev // 3

        def pair(x: int, y: int) -> int:
            return 8 * (11 * class_of(x) + class_of(y)) + c

        bits = [8 * v[name] > big for name in ("w", "n", "nw", "ne", "ww", "nn")]
        bits += [v["w"] > v["ww"], v["n"] > v["nn"]]
        t = sum(2**i for i, bit in enumerate(bits) if bit)
        slope = min(7, level(abs(q["e"] - q[""]) + abs(q["s"] - q[""])))
        values = [
            pair(f["w"], f["n"]),
            pair(f["nw"], f["ne"]) if k == 0 else pair(f0, f1),
            pair(p[0] - big, p[2] - big),
            pair(p[3] - big, p[5] - big),
            8 * lev + big % 8,
            8 * (8 * class_of(8 * q[""] - big) + slope) + c,
            4 * t + min(3, max(0, c - 2)),
        ]
        return lev, values

    def decide(self, k: int, big: int, where: tuple[int, list[int]]) -> int:
        c = (big + 4) >> 3
        if not self.bit(k, where, 0):
            return c
        neg = self.bit(k, where, 1) if 0 < c < 255 else int(c == 255)
        most, o = c if neg else 255 - c, 0
        while 2 ** (o + 1) <= most and self.bit(k, where, 2 + 7 * neg + o):
            o += 1
        size, top = 2**o, 0
        for j in range(o - 1, -1, -1):
            if size + 2**j > most:
                continue
            node = 15 + o if j == o - 1 else 19 + 2 * o + top if j == o - 2 else 35 + j
            bit = self.bit(k, where, node)
            top = bit if j == o - 1 else top
            size += bit * 2**j
        return c - size if neg else c + size

    def bit(self, k: int, where: tuple[int, list[int]], node: int) -> int:
        lev, values = where
        own = self.own.setdefault((k, lev, node), [start(lev, node), 12])
        base = STRETCH[own[0] >> 10]
        x = self.w0.setdefault((k, node), 2**16) * base
        used = []
        for c, value in enumerate(values):
            cell = self.cells.setdefault((k, c, value, node), [own[0], 0])
            n = min(30, cell[1])
            d = STRETCH[cell[0] >> 10] - base if n else 0
            x += self.wc.setdefault((k, node, c, n), 9830 * n // (n + 3)) * d
            used.append((cell, (k, node, c, n), d))
        one = SQUASH[max(-3072, min(3072, x >> 16))]
        b = int(self.message.quantile() >= 2**24 - one)
        self.message.take(2**24 - one if b else 0, one if b else 2**24 - one)
        err = 2**16 * b - (one >> 8)
        self.w0[k, node] = bound(self.w0[k, node] + ((base * err + 2**17) >> 18))
        for _, key, d in used:
            self.wc[key] = bound(self.wc[key] + ((d * err + 2**13) >> 14))
        for most, cell in [(1000, own), *((250, cell) for cell, _, _ in used)]:
            gain = 2**17 // (2 * cell[1] + 3)
            cell[0] += ((b * (2**22 - 1) - cell[0]) * gain + 2**15) >> 16
            cell[1] = min(most, cell[1] + 1)
        return b


def codebook(content: bytes, shape: tuple[int, int, int, int]) -> list[list[int]]:
    """The values of a codebook (K, height, width, channels), plane by plane as in the file."""
    size, height, width, channels = shape
    unknown = [[[128] * width for _ in range(size * height)] for _ in range(channels)]
    planes = Pixels(Message(content)).image(unknown)
    order = [1, 0, 2, 3][:channels] if channels > 2 else [*range(channels)]
    found = [[v for row in planes[order.index(c)] for v in row] for c in range(channels)]
    assert all(len(plane) == prod(shape[:3]) for plane in found)
    return found
