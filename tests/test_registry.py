from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Lt

from vocabula import registry
from vocabula.errors import OptionError, suggest
from vocabula.quantizers import (
    EMA,
    Gradient,
    KMeans,
    ProductQuantizer,
    ResidualQuantizer,
    VectorQuantizer,
)


class Wheel:
    component_kind = "test wheel"


@registry.component("test wheel", "wooden")
@dataclass(frozen=True)
class Wooden(Wheel):
    """A wheel of wood.

    Args:
        spokes: how many hold the rim,
            all of them alike.
    """

    spokes: Annotated[int, Ge(3)] = 8


@registry.component("test wheel", "rubber")
@dataclass(frozen=True)
class Rubber(Wheel):
    pressure: Annotated[float, Gt(0), Lt(10)] = 2.5


@registry.component("test cart", "cart")
class Cart:
    component_kind = "test cart"

    def __init__(
        self,
        length: Annotated[float, Gt(0)],
        *,
        wheel: Wheel = Wooden(),
        spare: Wheel | None = None,
        others: Sequence[Wheel] = (),
        color: Literal["red", "green"] = "red",
        sizes: tuple[int, ...] = (1, 2),
        horn: Callable[[], str] | None = None,
        open: bool = False,
    ) -> None:
        self.options = (length, wheel, spare, tuple(others), color, tuple(sizes), horn, open)


def test_names_and_lookup() -> None:
    assert registry.names("test wheel") == ["rubber", "wooden"]
    assert registry.names("nothing") == []
    assert registry.lookup("test wheel", "rubber") is Rubber
    with pytest.raises(OptionError, match="expected one of rubber, wooden, got 'ruber'; did you"):
        registry.lookup("test wheel", "ruber")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="already registered"):

        @registry.component("test wheel", "wooden")
        class Other:
            pass


def test_build_from_a_name_a_table_or_an_object() -> None:
    assert registry.build("test wheel", "wooden") == Wooden()
    assert registry.build("test wheel", {"name": "wooden", "spokes": 5}) == Wooden(5)
    wheel = Rubber()
    assert registry.build("test wheel", wheel) is wheel
    # One kind, one component: the name may be left out.
    assert registry.build("test cart", {"length": 2}).options[0] == 2.0
    with pytest.raises(OptionError, match="expected one of rubber, wooden, got nothing"):
        registry.build("test wheel", {"spokes": 5})
    with pytest.raises(OptionError, match="expected a name or a table"):
        registry.check("test wheel", 3)


def test_a_text_that_an_option_lists_needs_no_look_at_the_sources(monkeypatch) -> None:
    """Every saved tokenizer names its estimator: reading all sources for it would take long."""

    def looked(kind: str, name: str) -> bool:
        raise AssertionError(f"looked for {kind} {name!r}")

    monkeypatch.setattr(registry, "is_name", looked)
    annotation = Literal["red", "green"] | Wheel
    assert registry._convert(annotation, "red", "cart.paint", True) == "red"


def test_parts_are_built_from_names_and_tables() -> None:
    cart = Cart(
        1, wheel="rubber", spare={"name": "wooden", "spokes": 4}, others=["wooden", Rubber(3.0)]
    )
    assert cart.options[1:4] == (Rubber(), Wooden(4), (Wooden(), Rubber(3.0)))
    assert Cart(1, spare="none").options[2] is None
    assert Cart(1, sizes=[3, 4]).options[5] == (3, 4)


def test_wired_options_fill_what_is_left_out() -> None:
    registry.check("test cart", {"color": "green"}, wired=("length",))
    assert registry.build("test cart", {"color": "green"}, length=3.0, weight=7).options[0] == 3.0
    assert registry.build("test cart", {"length": 5.0}, length=3.0).options[0] == 5.0
    with pytest.raises(OptionError, match=r"test cart.length: expected a number > 0, got nothing"):
        registry.check("test cart", {"color": "green"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"length": 0}, r"my.cart.length: expected a number > 0, got 0"),
        ({"length": "long"}, r"my.cart.length: expected a number > 0, got 'long'"),
        ({"length": float("nan")}, r"my.cart.length: expected a number > 0, got nan"),
        ({"length": float("inf")}, r"my.cart.length: expected a number > 0, got inf"),
        ({"lenght": 1}, r"my.cart.lenght: unknown option of Cart, .*did you mean 'length'"),
        ({"length": 1, "color": "gren"}, r"expected one of 'red', 'green', got 'gren'; did you"),
        ({"length": 1, "wheel": "woden"}, r"my.cart.wheel: .*did you mean 'wooden'"),
        ({"length": 1, "wheel": {"name": "wooden", "spokes": 2}}, r"my.cart.wheel.spokes: .*>= 3"),
        ({"length": 1, "others": ["wooden", "x"]}, r"my.cart.others\[1\]: expected one of"),
        ({"length": 1, "sizes": ["a"]}, r"my.cart.sizes: expected a list of \(an integer\)"),
        ({"length": 1, "wheel": None}, r"my.cart.wheel: expected test wheel"),
    ],
)
def test_wrong_options_are_named_before_anything_is_built(
    values: dict[str, object], words: str
) -> None:
    for attempt in (registry.check, registry.build):
        with pytest.raises(OptionError, match=words):
            attempt("test cart", {"name": "cart", **values}, path="my.cart")


def test_wrong_arguments_in_python() -> None:
    with pytest.raises(OptionError, match=r"Cart.length: expected a number > 0, got -1"):
        Cart(-1)
    with pytest.raises(OptionError, match="expected at most 1 positional arguments, got 2"):
        Cart(1, "red")  # type: ignore[misc]
    with pytest.raises(OptionError, match=r"Cart.length: expected one value, got two"):
        Cart(1, length=2)  # type: ignore[misc]
    with pytest.raises(OptionError, match=r"Cart.length: expected a number > 0, got nothing"):
        Cart()  # type: ignore[call-arg]


def test_spec_is_plain_and_builds_an_equal_object() -> None:
    cart = Cart(2, wheel=Rubber(3.0), others=[Wooden(), Wooden(4)], sizes=(5,))
    saved = json.loads(json.dumps(registry.spec(cart)))
    assert saved["name"] == "cart"
    assert saved["wheel"] == {"name": "rubber", "pressure": 3.0}
    assert registry.build("test cart", saved).options == cart.options
    assert registry.spec(registry.build("test cart", saved)) == registry.spec(cart)


def test_what_cannot_be_saved_is_refused() -> None:
    with pytest.raises(OptionError, match=r"cart.horn: expected a value that can be saved"):
        registry.spec(Cart(1, horn=lambda: "toot"))
    with pytest.raises(OptionError, match="expected a registered component, got a plain object"):
        registry.spec(object())


def test_a_subclass_is_not_its_parent() -> None:
    class Longer(Cart):
        def __init__(self) -> None:
            super().__init__(100)

    assert Longer().options[0] == 100
    with pytest.raises(OptionError, match="expected a registered component"):
        registry.spec(Longer())


def test_options_describe_themselves() -> None:
    found = {option.name: option for option in registry.options("test cart", "cart")}
    assert list(found)[:2] == ["length", "wheel"]
    assert found["length"].required
    assert found["length"].accepted == "a number > 0"
    assert not found["color"].required
    assert found["color"].accepted == "one of 'red', 'green'"
    assert found["wheel"].kind == found["others"].kind == "test wheel"
    assert found["open"].accepted == "true or false"
    (spokes,) = registry.options("test wheel", "wooden")
    assert spokes.help == "how many hold the rim, all of them alike."
    assert spokes.default == 8


def test_suggest() -> None:
    assert suggest("comitment", ["commitment", "codebook"]) == "; did you mean 'commitment'?"
    assert suggest("xyz", ["commitment", "codebook"]) == ""


def test_every_option_of_every_quantizer_says_what_it_takes() -> None:
    ours = [
        name
        for name in registry.names("quantizer")
        if registry.lookup("quantizer", name).__module__.startswith("vocabula.")
    ]
    assert len(ours) >= 6
    for name in ours:
        for option in registry.options("quantizer", name):
            assert option.accepted, (name, option.name)
            assert option.help, (name, option.name)


def test_a_quantizer_from_settings() -> None:
    quantizer = registry.build(
        "quantizer",
        {
            "name": "vector",
            "dim": 8,
            "codebook_size": 16,
            "learning": {"name": "ema", "decay": 0.9},
            "initialization": "kmeans",
            "revival": "none",
        },
    )
    assert quantizer.book.rule == EMA(decay=0.9)
    assert quantizer.initialization == KMeans()
    assert quantizer.revival is None


def test_nested_quantizers_round_trip() -> None:
    quantizer = ProductQuantizer(
        [
            VectorQuantizer(4, 8, learning=Gradient()),
            ResidualQuantizer([VectorQuantizer(4, 8), VectorQuantizer(4, 16)], beam=2),
        ]
    )
    copy = registry.build("quantizer", json.loads(json.dumps(registry.spec(quantizer))))
    assert copy.codebook_sizes == (8, 8, 16)
    copy.load_state_dict(quantizer.state_dict())


def test_a_shared_codebook_is_shared_again() -> None:
    book = VectorQuantizer(4, 8)
    quantizer = ResidualQuantizer([book, VectorQuantizer(4, 8), book])
    copy = registry.build("quantizer", json.loads(json.dumps(registry.spec(quantizer))))
    assert copy.stages[0] is copy.stages[2]
    assert copy.stages[0] is not copy.stages[1]
    copy.load_state_dict(quantizer.state_dict())


def test_required_is_said_by_the_absence_of_a_default() -> None:
    (dim, *_) = registry.options("quantizer", "vector")
    assert dim.default is inspect.Parameter.empty
    assert dim.required
