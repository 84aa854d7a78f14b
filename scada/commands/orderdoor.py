"""How a switching order reaches the control desk and sees what the field shows: over the doors of ``scada run``.

Knows both doors. Signs each command with the key it was given; a second key, if given, approves at once, else another
person does so from where he sits. Does not judge anything.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from scada.commands.deskclient import Client, DeskSilent, message, signed
from scada.control.jws import Signer, countersign
from scada.control.lifecycle import Outcome
from scada.control.message import Wish
from scada.control.orders_run import Done
from scada.hmi.processes import ProcessSilent, ask
from scada.model.errors import LinkError
from scada.model.quality import Quality
from scada.model.sample import SAMPLE, SampleArray
from scada.model.switching import ImageView, Operation

HOLDS_S: Final = 180.0
"""How long a step's command may wait for the second person and be carried out."""

AskStation = Callable[[str], Mapping[str, Any]]


class StationsView:
    """The image of the running process, fetched station by station when it is first asked for; then it stands still.

    A station that is not scanned there is INVALID and NOT_TOPICAL.
    """

    def __init__(self, ask_station: AskStation) -> None:
        self._ask = ask_station
        self._stations: dict[str, dict[str, Mapping[str, Any]]] = {}

    def read(self, names: Sequence[str]) -> SampleArray:
        """As ``ImageView.read``. Raises LinkError when the process does not answer."""
        rows = np.zeros(len(names), dtype=SAMPLE)
        for row, name in enumerate(names):
            found = self._station(name.split("/", 1)[0]).get(name)
            if found is None:
                rows[row]["quality"] = Quality.INVALID | Quality.NOT_TOPICAL
                continue
            for field in ("value", "quality", "time", "cause"):
                rows[row][field] = found[field]
        return rows

    def _station(self, code: str) -> dict[str, Mapping[str, Any]]:
        if code not in self._stations:
            try:
                points = self._ask(code)["points"]
            except KeyError:
                points = []
            self._stations[code] = {point["name"]: point for point in points}
        return self._stations[code]


def present_view(var: Path) -> StationsView:
    """What ``scada run`` shows now."""

    def ask_station(code: str) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = ask(var, "run", f"/api/v1/stations/{code}/points", timeout_s=10.0)
        except ProcessSilent as error:
            raise LinkError(str(error)) from None
        return answer

    return StationsView(ask_station)


class DeskDoor:
    """The ``OrderDoor`` of the command line."""

    def __init__(self, var: Path, by: Signer, second: Signer | None, tell: Callable[[str], None]) -> None:
        self._var = var
        self._client = Client(var)
        self._by = by
        self._second = second
        self._tell = tell

    async def operate(self, operation: Operation, order: str, step: int, reason: str) -> Done:
        """As ``OrderDoor.operate``."""
        content = message(
            self._by,
            Wish.OPERATE,
            holds_s=HOLDS_S,
            target=operation.target,
            action=operation.action,
            set_point=operation.value,
            unit=operation.unit,
            reason=reason,
            order=order,
            step=step,
        )
        return await asyncio.to_thread(self._carry_out, signed(self._by, content), content.id)

    async def image(self) -> ImageView:
        """As ``OrderDoor.image``."""
        return present_view(self._var)

    async def pause(self, seconds: float) -> None:
        """As ``OrderDoor.pause``."""
        await asyncio.sleep(seconds)

    def _carry_out(self, document: bytes, command: str) -> Done:
        try:
            report = self._approved(self._client.send(document), document)
            for news in self._client.follow(report):
                report = news
        except DeskSilent as error:
            raise LinkError(f"{error} (command {command})") from None
        return Done(Outcome(report["outcome"]), _sentence(report), command)

    def _approved(self, report: dict[str, Any], document: bytes) -> dict[str, Any]:
        """The second signature goes over what was sent from here, not over what comes back."""
        if report["outcome"] is not None or report["waits_for"] != "approval":
            return report
        if self._second is None:
            self._tell(f"waits for a second person: scada approve {report['target']} --key …")
            return report
        approval = self._client.send(countersign(document, self._second), "approvals")
        if approval["outcome"] == "refused":
            self._tell(f"the second signature was refused: {_sentence(approval)}")
            return report
        return approval


def _sentence(report: Mapping[str, Any]) -> str:
    if report["outcome"] != "completed" and report.get("refusals"):
        refusal = report["refusals"][0]
        return f"{refusal['label']} ({refusal['sentence']})"
    steps = report.get("steps", [])
    return str(steps[-1]["sentence"]) if steps else str(report["outcome"])
