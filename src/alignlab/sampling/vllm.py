"""Sampling from a server of the trainer's own: vLLM's routes, which `alignlab serve --updates` answers too.

Token ids go there and come back, with the log-probability that each was drawn with. Weights go there through
a folder that both see (`models.transfer`), and a sync is over when the server says that it serves their
version. Every answer has a time by which it must be there.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ResourceError
from ..models import shards, transfer
from ..models.policy import Policy
from ..records import Completion, Prompt
from ..run import derive_seed, ranks, writing
from ..settings import EndpointSettings
from ..text.disk import remove
from ..text.escapes import one_line
from . import Sampling
from .endpoint import EndpointSampler
from .requests import Filtered, Refused, Server, TryAgain
from .words import ids_of, said_in, text_behind

SETTINGS = EndpointSettings(timeout=600.0, concurrency=32)
REMEDY = (
    "`alignlab serve MODEL --updates FOLDER`, with this run below FOLDER under the same path; or vLLM with "
    "VLLM_SERVER_DEV_MODE=1 and weights from disk. The same command goes on where it was"
)


class VllmSampler(EndpointSampler):
    """Samples from a policy whose weights a server has.

    Args:
        name: `http://host:port/v1#model`.
        policy: whose tokenizer and end tokens they are.
        folder: through which weights go; the server sees it under the same path.
        pause: seconds before a second attempt; doubled for each further one.

    Raises:
        UserError: not such an address. ConfigError: a key that cannot be sent.
    """

    def __init__(self, name: str, policy: Policy, folder: Path, *, pause: float = 1.0) -> None:
        super().__init__(name, SETTINGS, pause=pause)
        self.tokenizer, self.end_ids = policy.tokenizer, policy.end_ids
        self.vocabulary = policy.model.get_input_embeddings().weight.shape[0]
        self.folder, self.version = folder.resolve(), ""
        root = replace(self.address, path=self.address.path.removesuffix("/v1"))
        self._root = Server(root, self.settings, name)

    def sync(self, model: Any) -> None:
        """Have the server sample from this model's weights from now on. Of several processes the first
        brings them.

        Raises:
            ResourceError: twice in a row the server did not answer in time, refused, or served another
                version afterwards.
        """
        version = ""
        state = shards.state_of(model) if shards.is_sharded(model) else None
        if ranks.rank() == 0:
            with writing(self.folder.parent):
                version = transfer.write(model, self.folder, state)
            self._bring(version)
        self.version = ranks.gathered(version)[0]

    def close(self) -> None:
        """Take the folder away; the server keeps the weights."""
        if ranks.rank() == 0:
            remove(self.folder)

    def sample(
        self,
        prompts: Sequence[Prompt | list[int] | str],
        sampling: Sampling = Sampling(),
        *,
        seed: int = 0,
        first: int = 0,
    ) -> list[list[Completion]]:
        """n completions of each prompt, in order, as `LocalSampler.sample` gives them: from a server of ours
        the same ones; vLLM draws others, by a seed that each completion has.

        Where the server has other weights afterwards (it was started anew), they get there again, and all
        are asked for once more.

        Raises:
            ResourceError: the server cannot be reached, is late or overloaded, after all retries, or changes
                its weights. ModelError: its answers are no completions. UserError: it refuses the request.
        """
        for _ in range(2):
            groups = self._in_parallel(
                lambda place: self._written(prompts[place], sampling, seed, first + place), len(prompts)
            )
            if not self.version or self._kept_weights():
                return groups
            if ranks.size() > 1:
                break
            self._bring(self.version)  # as they lie in the folder: the model may have learnt since
        raise ResourceError("the sampler changed its weights while it wrote", where=self.name, remedy=REMEDY)

    def _written(
        self, prompt: Prompt | list[int] | str, sampling: Sampling, seed: int, place: int
    ) -> list[Completion]:
        """The completions of one prompt."""
        read, said = ids_of(self.tokenizer, prompt), said_in(self.tokenizer, prompt)
        params = {
            "n": sampling.n,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "logprobs": 0,  # that of the token that was drawn, and none beside it
            # vLLM counts up from here for the completions of a prompt
            "seed": derive_seed(seed, "vllm", place) % 2**31 + 1,
            "ignore_eos": True,  # what ends a completion is the policy's to say
            "stop_token_ids": sorted(self.end_ids),
            "detokenize": False,
        }
        body = {
            "model": self.address.model,
            "token_ids": read,
            "sampling_params": params,
            # what a server of ours draws by; vLLM leaves it out of account
            "alignlab": {"seed": seed, "first": place},
        }
        answer = self._ask("/inference/v1/generate", json.dumps(body).encode(), most=sampling.n)
        completions = []
        for ids, logprobs in answer["choices"]:
            if len(ids) > sampling.max_new_tokens:
                ids, logprobs = ids[: sampling.max_new_tokens], logprobs[: sampling.max_new_tokens]
            finished = ids[-1] in self.end_ids
            completions.append(
                Completion(
                    prompt if isinstance(prompt, Prompt) else Prompt(()),
                    text_behind(self.tokenizer, said, ids, finished=finished),
                    tuple(ids),
                    tuple(logprobs),
                    finished,
                    "policy",  # whose weights they are, wherever it writes
                    prompt_ids=tuple(read),
                )
            )
        return completions

    def _attempt(self, path: str, data: bytes, *, most: int) -> dict[str, Any]:
        body = self._asked(path, data)
        try:
            return {"choices": _choices(json.loads(body), most, self.vocabulary)}
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise TryAgain(f"{error!s:.200} ({self._root.words(body)})", rubbish=True) from None

    def _kept_weights(self) -> bool:
        try:
            return self._served() == self.version
        except (TryAgain, Refused):  # it went away since
            return False

    def _bring(self, version: str) -> None:
        """Get the folder's weights to the server, unless it has them."""
        wrong = ""
        for attempt in range(2):
            if attempt:
                time.sleep(self.pause)
            try:
                if self._served() == version:
                    return
                self._send(version)
                if (served := self._served()) == version:
                    return
                wrong = f"it says that it serves version {one_line(served)}, and {version} was sent"
            except TryAgain as error:
                wrong = self._root.clean(str(error))
            except Refused as error:
                wrong = error.what
        raise ResourceError(
            f"the weights did not get to the sampler, twice in a row: {wrong}", where=self.name, remedy=REMEDY
        )

    def _send(self, version: str) -> None:
        """One update: what is being answered for others is waited for, and keys and values are forgotten."""
        try:
            self._order("/pause?mode=wait&clear_cache=true", {})
            self._order("/init_weight_transfer_engine", {"init_info": {}})
            self._order("/start_weight_update", {})
            self._order("/update_weights", {"update_info": {"path": str(self.folder)}})
            self._order("/finish_weight_update", {"weight_version": version})
        finally:
            self._order("/resume", {})

    def _order(self, path: str, body: Mapping[str, Any]) -> None:
        self._asked(path, json.dumps(body).encode())

    def _asked(self, path: str, data: bytes | None) -> bytes:
        """The body of an answer. Raises TryAgain, or UserError."""
        try:
            return self._root.get(path) if data is None else self._root.post(path, data)
        except Filtered:
            raise TryAgain("a content filter answers in the place of the server", rubbish=True) from None

    def _served(self) -> str:
        """The version of the weights that the server has."""
        try:
            return str(json.loads(self._asked("/weight_info", None))["weight_version"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise TryAgain("GET /weight_info says no version", rubbish=True) from None


def _choices(answer: Any, most: int, vocabulary: int) -> list[tuple[list[int], list[float]]]:
    """Ids and log-probabilities of the completions of an answer, by index. Raises ValueError, and what comes
    of reading a document of another shape; TryAgain, the server broke one off.
    """
    by_index: dict[int, tuple[list[int], list[float]]] = {}
    for choice in answer["choices"]:
        if choice["finish_reason"] == "abort":
            raise TryAgain("the server broke off a completion: somebody paused it")
        ids, content = choice["token_ids"], choice["logprobs"]["content"]
        logprobs = [entry["logprob"] for entry in content]
        if not ids or any(type(token) is not int or not 0 <= token < vocabulary for token in ids):
            raise ValueError("a completion without token ids, or with ids that the policy has not")
        if any(entry.get("token_id", token) != token for entry, token in zip(content, ids, strict=True)):
            raise ValueError("a log-probability is of another token")
        if any(
            type(value) not in (int, float) or not math.isfinite(value) or value > 1e-4 for value in logprobs
        ):
            raise ValueError("a log-probability is no number up to 0")
        by_index[choice["index"]] = ids, [float(value) for value in logprobs]
    if sorted(by_index) != list(range(most)):
        raise ValueError(f"{len(by_index)} completions in the place of {most}")
    return [by_index[index] for index in range(most)]
