"""Resuming: a training that was stopped goes on as if it never had been. What must agree is in checks/resuming.py."""

import functools
import warnings
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from ...checks.resuming import check_training_state, fingerprint, of_data
from ...module import Module
from ..optimizers import AdamW


@dataclass
class Progress:
    """Where training stands. With the seed it decides everything still to come: data order, dropout, learning rate."""

    step: int = 0  # optimizer steps taken
    epoch: int = 0
    position: int = 0  # batches of this epoch that are done


class Resumable:
    """The part of a Trainer that tells where training stands, and goes on from there."""

    model: Module
    optimizer: AdamW
    data: Any
    progress: Progress

    @functools.cached_property
    def data_fingerprint(self) -> str:
        """Of the data, computed once: it does not change while it is trained on."""
        return of_data(self.data)

    def state_dict(self) -> dict[str, Any]:
        """All that resuming needs: {"model", "optimizer": their state_dicts, "progress", "settings": numbers}."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "settings": fingerprint(self),
        }

    def load_state_dict(self, state: Any, accept: Collection[str] = (), finite: bool = True) -> None:
        """Go on exactly where such a state was taken.

        accept: names of settings that may have changed, such as "learning rates" or "workers"
        finite: refuse weights and moments that are NaN or infinite
        Raises ValueError or TypeError, and changes nothing, if this trainer would go on differently in anything else.
        A setting that the state lacks, because an earlier version wrote it, is named in a warning.
        """
        unknown = check_training_state(self, state, accept, finite)
        if unknown:
            warnings.warn(f"the checkpoint does not tell, so not checked: {', '.join(unknown)}", stacklevel=2)
        self.model.load_state_dict(state["model"], finite)
        self.optimizer.load_state_dict(state["optimizer"], finite)
        self.progress = Progress(**state["progress"])
