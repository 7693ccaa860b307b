"""What a sampler's name on the command line stands for."""

from __future__ import annotations

import pytest

from alignlab import names
from alignlab.errors import ConfigError, ModelError
from alignlab.sampling.endpoint import EndpointSampler
from alignlab.sampling.local import LocalSampler
from alignlab.settings import EndpointSettings, ModelSettings, SamplingSettings

PLAIN = {"model": ModelSettings(), "endpoint": EndpointSettings(), "sampling": SamplingSettings()}


def test_a_model_and_an_endpoint():
    local = names.models.sampler("town-s", **PLAIN)
    assert isinstance(local, LocalSampler) and local.name == "town-s"
    documents = names.models.sampler("town-s", documents=True, **PLAIN)
    assert isinstance(documents, LocalSampler) and documents.end_ids == local.end_ids | {
        local.tokenizer.bos_token_id
    }
    assert isinstance(names.models.sampler("http://localhost:1/v1#m", **PLAIN), EndpointSampler)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("http://localhost/v1#m", {"model": ModelSettings(threads=1)}),
        ("http://localhost/v1#m", {"sampling": SamplingSettings(slots=3)}),
        ("town-s", {"endpoint": EndpointSettings(timeout=3)}),
    ],
)
def test_settings_of_the_other_kind_are_refused(name, setting):
    with pytest.raises(ConfigError, match="take it away|take them away"):
        names.models.sampler(name, **(PLAIN | setting))


def test_an_endpoint_is_no_model_to_train():
    with pytest.raises(ModelError, match="no weights"):
        names.models.model("https://host/v1#m")
