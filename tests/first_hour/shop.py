"""An invented shop: items with categories, prices and stock, and purchases with ISO times."""

import csv
import datetime
from pathlib import Path

import numpy as np

KINDS = ("lamp", "desk", "chair", "mug", "rug", "clock", "shelf", "vase", "plant", "kettle")
LOOKS = ("calm", "bold", "amber", "slate", "olive", "ivory", "rustic", "modern", "tiny", "grand")
COLUMNS = ("sku", "title", "category", "price", "in_stock", "added")


def item(number: int, rng: np.random.Generator) -> list[object]:
    """Return the row of an item."""
    kind, look = KINDS[number % 10], LOOKS[number // 10 % 10]
    day = datetime.date(2026, 1, 1) + datetime.timedelta(days=number % 300)
    price = f"{rng.uniform(5, 200):.2f}"
    stock = "yes" if rng.random() < 0.7 else "no"
    return [f"SKU-{number:05d}", f"{look} {kind} {number}", kind, price, stock, day.isoformat()]


def write_items(file: Path, first: int, count: int) -> Path:
    """Write items with the numbers from ``first`` on."""
    rng = np.random.default_rng(first)
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(COLUMNS)
        rows.writerows(item(first + n, rng) for n in range(count))
    return file


def write_purchases(file: Path, users: int, items: int, each: int = 10) -> Path:
    """Write purchases: a user stays with two kinds of things."""
    rng = np.random.default_rng(7)
    start = datetime.datetime(2026, 10, 1, 8)
    with file.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("customer", "sku", "bought_at"))
        for user in range(users):
            kinds = rng.choice(10, 2, replace=False)
            for step in range(each):
                number = int(rng.integers(items // 10)) * 10 + int(rng.choice(kinds))
                moment = start + datetime.timedelta(hours=5 * step, minutes=user)
                rows.writerow((f"c{user}", f"SKU-{number:05d}", f"{moment.isoformat()}Z"))
    return file
