from typing import Any

import pytest
from pydantic import ValidationError

from app.architectures.mlp import MlpParams
from app.architectures.sisa import SisaNetworkParams

MEMBER = {"name": "mlp", "input_shape": [6], "classes": 3, "layers": 1}


def test_it_is_as_large_as_its_members_together() -> None:
    params = SisaNetworkParams.model_validate({"input_shape": [6], "classes": 3, "member": MEMBER, "shards": 4})
    assert isinstance(params.member, MlpParams)
    assert (params.weight_count, params.isolated) == (4 * 21, 4)


@pytest.mark.parametrize("other", [{"input_shape": [7]}, {"classes": 4}])
def test_members_take_and_answer_what_the_whole_does(other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="same input_shape and classes"):
        SisaNetworkParams.model_validate({"input_shape": [6], "classes": 3, "member": MEMBER, **other})


def test_shards_of_shards_are_refused() -> None:
    nested = {"name": "sisa", "input_shape": [6], "classes": 3, "member": MEMBER}
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        SisaNetworkParams.model_validate({"input_shape": [6], "classes": 3, "member": nested})
