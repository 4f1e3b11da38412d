"""How much of the shared code still assumes images: names that only ever become fewer."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "vocabula"
WORDS = re.compile(r"image|pixel|picture|photo|psnr|ssim|png", re.IGNORECASE)
OWN = re.compile(  # files whose matter is images
    r"signals/image|data/(picture|pixels|png|images|image_|transforms|color_profile|bare_pictures)"
    r"|data/(folder|cropped|bundled|source|arrays|parquet|cache|opening)|nn/(vqvae|vqgan|attention|resampling|residual|normalization)"
    r"|evaluation/(metrics|rival)|reports/(pictures|gallery|examples)|palette/|pixel|benchmark/rate"
    r"|cli/(palette|complete)|priors/completion|evaluation/prior_likelihood"
    r"|pipelines/(palette|blocks|keep|complete|gathering|fidelity|picture_)"
    r"|codec/(profiles|reconstruction|blocks)|data/media/image|reports/views/image"
    r"|tokenizers/tiles|nn/perceptual"
)
ALLOWED = 19
"""Names in shared code that have a word of images; lower it with every one that goes.

Those of `codec/{coder,fallback,native,header_parsing}` (9) belong to the coder of exact pixels,
which a file of images may have as its last stage; `cli/reading` (1), `pipelines/sample_kinds` (2)
and `functional/native` (1) serve commands and kernels of images alone; `image_size` (3) and
`images` (2) are names that saved files and programs use; `picture_size` writes a width and a
height.
"""


def kind_names(tree: ast.AST) -> list[str]:
    """Names that a module defines: of classes, functions, arguments and attributes."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.arg):
            found.append(node.arg)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append(node.target.id)
    return [name for name in found if WORDS.search(name)]


def assumptions() -> Counter[str]:
    """How many names of images each shared file defines."""
    counts: Counter[str] = Counter()
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not OWN.search(name):
            counts[name] = len(kind_names(ast.parse(path.read_text(encoding="utf-8"))))
    return +counts


def test_shared_code_does_not_learn_new_words_of_images() -> None:
    found = assumptions()
    assert found.total() <= ALLOWED, found.most_common(10)


def test_a_name_of_images_is_found() -> None:
    source = "class A:\n    pixels: int\ndef f(image, x): ...\ndef psnr(): ...\n"
    assert sorted(kind_names(ast.parse(source))) == ["image", "pixels", "psnr"]


if __name__ == "__main__":
    for name, count in assumptions().most_common():
        print(f"{count:4d}  {name}")
    print(f"{assumptions().total():4d}  in all")
