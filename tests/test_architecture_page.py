"""The architecture page names the folders that exist, and journeys that the imports bear out."""

import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = ("prefixes", "training", "server")
MAX_STOPS = 7


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def section(heading: str) -> str:
    return PAGE.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]


def journeys() -> dict[str, list[str]]:
    """The texts of the numbered stops below each heading of the section of journeys."""
    body = PAGE.split("## Three journeys\n", 1)[1].split("\n## ", 1)[0]
    return {
        part.split("\n", 1)[0]: re.findall(r"^\d\. ((?:.+\n?)(?:^ +.+\n?)*)", part, re.MULTILINE)
        for part in body.split("### ")[1:]
    }


def module_of(path: str) -> str:
    assert (ROOT / path).is_file(), path
    return path.removesuffix(".py").replace("/", ".")


def reaches(graph: grimp.ImportGraph, importer: str, imported: str, *, within: int) -> bool:
    """Whether a module imports another, through others up to that many imports in a row."""
    chain = graph.find_shortest_chain(importer, imported)
    return chain is not None and len(chain) <= within + 1


def listed_folders() -> list[str]:
    return re.findall(r"^\| `([^`]+)/` \|", section("## The tree"), re.MULTILINE)


def test_the_tree_lists_every_folder_of_the_packages_to_the_second_level() -> None:
    packages = [ROOT / name for name in PACKAGES]
    inner = [init.parent for package in packages for init in package.glob("*/__init__.py")]
    listed = [path for path in listed_folders() if path.split("/")[0] in PACKAGES]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT)) for path in packages + inner)


def test_the_tree_lists_every_folder_of_code_pages_or_configuration() -> None:
    patterns = ("[!.]*/*.py", "[!.]*/*.md", "[!.]*/*/*.yml")
    files = [file for pattern in patterns for file in ROOT.glob(pattern)]
    listed = {path for path in listed_folders() if "/" not in path}
    assert listed == {file.relative_to(ROOT).parts[0] for file in files}


@pytest.mark.parametrize("journey", ["A request", "An upload", "A training"])
def test_every_stop_of_a_journey_is_imported_by_an_earlier_one(
    journey: str, graph: grimp.ImportGraph
) -> None:
    stops = journeys()[journey]
    assert 3 <= len(stops) <= MAX_STOPS
    earlier: list[str] = []
    for stop in stops:
        module = module_of(re.findall(r"`([\w/]+\.py)`", stop)[0])
        joints = [module_of(path) for path in re.findall(r"Joined by\s+`([\w/]+\.py)`", stop)]
        direct = any(reaches(graph, one, module, within=3) for one in earlier)
        joined = any(
            (reaches(graph, joint, module, within=2) and reaches(graph, joint, one, within=4))
            or (reaches(graph, module, joint, within=2) and reaches(graph, one, joint, within=2))
            for joint in joints
            for one in earlier
        )
        assert not earlier or direct or joined, (stop, earlier)
        assert not (direct and joints), f"{stop} needs no module that joins it"
        earlier.append(module)
