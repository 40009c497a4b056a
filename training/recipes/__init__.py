"""Recipes by name: one TOML file each, most of them a script of the original P-tuning v2."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from training.errors import PlanRejected

_FOLDER: Final = Path(__file__).parent


def recipe_names() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load_recipe(name: str) -> dict[str, Any]:
    """Return the settings of a recipe: task settings, and the plan settings `backbone` and `sweep`.

    Raises:
        PlanRejected: when no recipe has this name.
    """
    if name not in recipe_names():
        raise PlanRejected(f"There is no recipe {name!r:.80}: `polyprefix recipes` lists them")
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def recipe_rows() -> Iterator[tuple[str, ...]]:
    """List all recipes: name, dataset, backbone, learning rate, length, epochs, batch size."""
    shown = ("dataset", "backbone", "learning_rate", "prefix_length", "epochs", "batch_size")
    for name in recipe_names():
        recipe = load_recipe(name)
        searched = recipe.get("sweep", {}).get("space", {})
        yield name, *(_shown({**recipe, **searched}.get(field, "")) for field in shown)


def _shown(value: Any) -> str:
    """Write a setting, or all those among which a search chooses."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
