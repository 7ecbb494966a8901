"""The live page's files: small, each module one thing, and nothing in them that a strict policy would stop."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import earwitness

PAGE = Path(earwitness.__file__).parent / "web" / "page"
MODULES = sorted(PAGE.glob("*.js"))
WEIGHT = 300_000  # bytes without data
MOST_LINES = 400
NAMESPACE = "http://www.w3.org/"
# What reads text as code or as HTML: a file's name could then be either.
FORBIDDEN = (
    r"\beval\b",
    r"\bnew\s+Function\b",
    r"\binnerHTML\b",
    r"\bouterHTML\b",
    r"\binsertAdjacentHTML\b",
    r"\bdocument\s*\.\s*write",
    r"\bcreateContextualFragment\b",
    r"\bDOMParser\b",
    r"\bset(?:Timeout|Interval)\s*\(\s*[\"'`]",
    r"\bimport\s*\(",
    r"javascript:",
    r"\.\s*cssText\b",
    r"setAttribute\(\s*[\"']style[\"']",
)


def imported(module: Path) -> set[str]:
    return set(
        re.findall(r"^import (?:[^;]*? from )?\"\./([\w.]+)\";$", module.read_text(encoding="utf-8"), re.MULTILINE)
    )


def exported(module: Path) -> set[str]:
    text = module.read_text(encoding="utf-8")
    return set(re.findall(r"^export (?:async )?(?:function|const|class|let) (\w+)", text, re.MULTILINE))


def test_the_page_is_small():
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".html", ".css", ".js", ".svg"}
    assert sum(path.stat().st_size for path in files) < WEIGHT


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_and_says_what_it_is(module):
    lines = module.read_text(encoding="utf-8").splitlines()
    assert len(lines) < MOST_LINES
    assert lines[0].startswith("// ")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_reads_no_text_as_code_or_html(module):
    text = module.read_text(encoding="utf-8")
    for pattern in FORBIDDEN:
        assert not re.search(pattern, text), pattern


@pytest.mark.parametrize("path", [path for path in PAGE.rglob("*") if path.is_file()], ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path):
    text = path.read_text(encoding="utf-8")
    for address in re.findall(r"(?:https?:|wss?:|ftp:)?//[\w.-]+\.[a-z]{2,}[^\s\"'`)]*", text):
        assert address.startswith(NAMESPACE), address


def test_the_html_holds_no_code_and_no_style():
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\son\w+\s*=", text)
    assert not re.search(r"\sstyle\s*=|<style", text)
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
    for name in re.findall(r"(?:src|href)=\"([^\"#]+)\"", text):
        assert (PAGE / name).is_file(), name


def test_every_module_is_reached_and_every_name_exists():
    reached, waiting = set(), {"main.js"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= imported(PAGE / name) - reached
    assert reached == {module.name for module in MODULES}
    for module in MODULES:
        text = module.read_text(encoding="utf-8")
        for names, source in re.findall(r"^import \{([^}]*)\} from \"\./([\w.]+)\";$", text, re.MULTILINE):
            wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
            assert wanted <= exported(PAGE / source), f"{module.name} from {source}"
            for name in (each.split(" as ")[-1].strip() for each in names.split(",") if each.strip()):
                assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{module.name} imports {name} and does not use it"


def test_all_modules_are_fetched_at_once():
    """Else each would be asked for when the one before it has come."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    preloaded = re.findall(r"<link rel=\"modulepreload\" href=\"([\w.]+)\">", text)
    assert sorted([*preloaded, "main.js"]) == sorted(module.name for module in MODULES)


def test_every_export_is_used_by_another_module():
    for module in MODULES:
        others = [other.read_text(encoding="utf-8") for other in MODULES if other != module]
        for name in exported(module):
            pattern = rf"^import \{{[^}}]*\b{name}\b[^}}]*\}} from \"\./{re.escape(module.name)}\";$"
            assert any(re.search(pattern, text, re.MULTILINE) for text in others), f"{module.name}: {name}"


def test_every_aria_label_says_something():
    found = 0
    for path in [*MODULES, PAGE / "index.html"]:
        for quote, label in re.findall(r"aria-label\"?[:=]\s*([\"'`])(.*?)\1", path.read_text(encoding="utf-8")):
            found += 1
            assert re.search(r"\w{3,}", label), f"{path.name}: {quote}{label}{quote}"
    assert found > 20


def test_colours_of_words_stand_off_from_their_ground():
    """WCAG AA: at least 4.5 to 1, for light and dark, on each ground that words stand on."""
    text = (PAGE / "theme.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): light-dark\((#\w{6}, #\w{6})\)", text))
    pairs = {name: value.split(", ") for name, value in colours.items()}
    for theme in (0, 1):
        for words in ("ink", "quiet", "accent", "good", "bad", "warn"):
            for ground in ("ground", "paper", "raised"):
                contrast = _contrast(pairs[words][theme], pairs[ground][theme])
                assert contrast >= 4.5, f"{words} on {ground}: {contrast:.2f}"
        assert _contrast(pairs["on-accent"][theme], pairs["accent"][theme]) >= 4.5
        assert _contrast(pairs["edge"][theme], pairs["paper"][theme]) >= 3.0  # outlines of controls


def _contrast(one: str, two: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
