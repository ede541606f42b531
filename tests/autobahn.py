"""The client that a fuzzing server of the Autobahn test suite expects: `python tests/autobahn.py ws://127.0.0.1:9001`.

It runs all cases of such a server, which must run already, prints the verdict on each, lets the server
write its report, and fails if a case has failed. It is written with the event-driven class alone.
"""

import argparse
import asyncio
import json
from collections import Counter
from urllib.parse import urlencode

from unisocket import MessageEvent, WebSocket
from unisocket.adapters.cpython import CPythonAdapter

__all__ = ("Client", "judge", "main")

PASSED = ("OK", "NON-STRICT", "INFORMATIONAL")  # what the suite calls it
NO_END = "NO END"  # the case had not ended in time
UNKNOWN = "UNKNOWN"  # the server does not tell; it is in the report that it writes

LARGEST = 16 * 2**20  # bytes of a message: what cases 9.1.6 and 9.2.6 send
PATIENCE = 600.0  # seconds for a case: some send 128 MiB, and the server may mask each byte in Python
PATIENCE_WITH_REPORT = 60.0


class Client:
    """Runs the cases of a fuzzing server.

    Args:
        server: Its URL, such as ws://127.0.0.1:9001.
        agent: What the server's report is to call us.
        patience: Seconds that a case may take.
    """

    def __init__(self, server: str, agent: str = "unisocket", patience: float = PATIENCE) -> None:
        self.server = server.rstrip("/")
        self.agent = agent
        self.patience = patience
        self.adapter = CPythonAdapter(max_size=LARGEST, compression="deflate", proxy=None, ping_interval=None)

    async def count(self) -> int:
        """Return how many cases there are."""
        _, messages = await self.visit("getCaseCount")
        if not messages:
            raise LookupError(f"{self.server} is no fuzzing server: it tells no number of cases")
        return int(messages[0])

    async def run(self, case: int) -> tuple[str, str]:
        """Run a case; return its name and the verdict."""
        ended, _ = await self.visit("runCase", case, echo=True)
        name = (await self._ask("getCaseInfo", case)).get("id", str(case))
        if not ended:
            return name, NO_END
        return name, (await self._ask("getCaseStatus", case)).get("behavior", UNKNOWN)

    async def report(self) -> bool:
        """Let the server write its report; return whether it says that it did."""
        ended, _ = await self.visit("updateReports", patience=PATIENCE_WITH_REPORT)
        return ended

    async def _ask(self, path: str, case: int) -> dict[str, str]:
        """Return what the server tells of a case; nothing if it does not know the question."""
        _, messages = await self.visit(path, case)
        return dict(json.loads(messages[0])) if messages else {}

    async def visit(
        self, path: str, case: int | None = None, *, echo: bool = False, patience: float | None = None
    ) -> tuple[bool, list[str | bytes]]:
        """Open a connection, which the server closes; return whether it did, and what it sent, if not echoed."""
        query = {"agent": self.agent} if case is None else {"case": str(case), "agent": self.agent}
        messages: list[str | bytes] = []
        closed = asyncio.Event()
        ws = WebSocket(f"{self.server}/{path}?{urlencode(query)}", adapter=self.adapter)

        def receive(event: MessageEvent) -> None:
            if echo:
                ws.send(event.data)
            else:
                messages.append(event.data)

        ws.onmessage = receive
        ws.onclose = lambda event: closed.set()
        try:
            async with asyncio.timeout(self.patience if patience is None else patience):
                await closed.wait()
        except TimeoutError:
            ws.close()
            return False, messages
        return True, messages


async def judge(client: Client) -> bool:
    """Run all cases, and print the verdicts; return whether no case has failed."""
    verdicts: Counter[str] = Counter()
    failed = []
    count = await client.count()
    for case in range(1, count + 1):
        name, verdict = await client.run(case)
        print(f"{case:{len(str(count))}}/{count}  {name:9} {verdict}", flush=True)
        verdicts[verdict] += 1
        if verdict not in (*PASSED, UNKNOWN):
            failed.append(name)
    if not await client.report():
        print("The server did not say that it has written its report.")
    print(f"{count} cases:", ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common()))
    if failed:
        print("Failed:", ", ".join(failed))
    if verdicts[UNKNOWN]:
        print("What is UNKNOWN stands in the server's report alone.")
    return not failed


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 1 if a case has failed."""
    parser = argparse.ArgumentParser(description="Run all cases of an Autobahn fuzzing server.")
    parser.add_argument("url", help="of the server, such as ws://127.0.0.1:9001")
    parser.add_argument("--agent", default="unisocket", help="what the server's report is to call us")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds that a case may take")
    options = parser.parse_args(arguments)
    return 0 if asyncio.run(judge(Client(options.url, options.agent, options.patience))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
