"""Configurations survive JSON and refuse what they do not know."""

import dataclasses
import json
import typing

import pytest

from genret import config
from genret.errors import GenretError

CONFIGS = [c for c in vars(config).values() if isinstance(c, type) and dataclasses.is_dataclass(c)]
CONFIGS.remove(config.Recipe)  # two configurations, and none itself
for part in (config.ModelConfig, config.FeaturesConfig, config.RotaryConfig):
    CONFIGS.remove(part)  # what kinds of models share, and none itself
REQUIRED = {config.ServeConfig: {"run": "runs/shop"}}
"""What has no default."""


@pytest.mark.parametrize("cls", CONFIGS)
def test_json_round_trip(cls: type[config.Config]) -> None:
    value = cls(**REQUIRED.get(cls, {}))
    assert json.loads(json.dumps(value.to_dict())) == value.to_dict()
    assert cls.from_dict(value.to_dict()) == value
    assert hash(value) == hash(cls(**REQUIRED.get(cls, {})))


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (config.TrainConfig, {"steps": "many"}, "TrainConfig.steps: found 'many', expected int"),
        (config.TrainConfig, {"steps": True}, "TrainConfig.steps: found True, expected int"),
        (config.TrainConfig, {"steps": 0}, "steps: found 0, expected at least 1"),
        (config.TrainConfig, {"packing": "zip"}, "expected one of 'pack', 'bucket', 'pad'"),
        (config.ItemDecoderConfig, {"codes_per_level": [3, "x"]}, "codes_per_level"),
        (
            config.ItemDecoderConfig,
            {"heads": 4, "kv_heads": 3},
            "kv_heads: found 3, expected a divisor of heads 4",
        ),
        (
            config.ItemDecoderConfig,
            {"wdith": 3},
            "unknown key 'wdith' of ItemDecoderConfig; did you mean 'width'",
        ),
        (
            config.EvaluateConfig,
            {"k": [100], "beams": 50},
            "beams: found 50, expected at least the largest k, 100",
        ),
        (config.ColumnsConfig, {"user": 3}, "ColumnsConfig.user: found 3"),
    ],
)
def test_bad_values_are_named(
    cls: type[config.Config], values: dict[str, object], message: str
) -> None:
    with pytest.raises(GenretError, match=message.replace("(", r"\(")):
        cls.from_dict(values)


def test_an_integer_is_a_float() -> None:
    assert config.TrainConfig.from_dict({"clip": 2}).clip == 2.0


COUNTS = [
    (cls, field.name)
    for cls in CONFIGS
    for field in dataclasses.fields(cls)
    if typing.get_type_hints(cls)[field.name] is int
]


@pytest.mark.parametrize(("cls", "name"), COUNTS)
@pytest.mark.parametrize("value", [-1, 10**23])
def test_counts_that_no_index_holds_are_named(
    cls: type[config.Config], name: str, value: int
) -> None:
    with pytest.raises(GenretError, match=f"{name}: found {value}, expected "):
        cls.from_dict(REQUIRED.get(cls, {}) | {name: value})


FRACTIONS = [
    (cls, field.name)
    for cls in CONFIGS
    for field in dataclasses.fields(cls)
    if typing.get_type_hints(cls)[field.name] is float
]


@pytest.mark.parametrize(("cls", "name"), FRACTIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.5])
def test_numbers_that_mean_nothing_are_named(
    cls: type[config.Config], name: str, value: float
) -> None:
    if name == "clip" and value == float("inf"):
        assert cls.from_dict({name: value})  # nothing is clipped
        return
    with pytest.raises(GenretError, match=f"{name}: found {value}, expected "):
        cls.from_dict(REQUIRED.get(cls, {}) | {name: value})
