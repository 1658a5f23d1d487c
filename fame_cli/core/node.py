"""One node, pure: sentinel, agent and client are this class with other settings.

The shell calls five methods with what happened (`link_opened`, `receive`, `link_closed`, `tick`, `next_deadline`) and a
few verbs with what the user wants; each returns the effects to perform, in order. Nothing is decided in this module:
what comes in goes to ``receiving.py``, what the user wants to ``asking.py``, ``answering.py`` and ``publish.py``.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from math import inf

from fame_cli.core import answering, attach, ending, inbox, outbox
from fame_cli.core.address import physical
from fame_cli.core.adjusting import adjust, retire, set_own_cost
from fame_cli.core.announce import has_listeners
from fame_cli.core.asking import Wish, ask
from fame_cli.core.balance import Balance
from fame_cli.core.batch import BATCH, SEPARATOR, parted
from fame_cli.core.calls import CallKey, error_payload, result_payload
from fame_cli.core.deadline import EXPIRED
from fame_cli.core.draining import is_idle, wind_down
from fame_cli.core.effects import CallEnded, Effect, ItemArrived, Outcome
from fame_cli.core.envelope import GRANT
from fame_cli.core.frames import NodeHeartbeat
from fame_cli.core.gate import Gate
from fame_cli.core.grant import Grant
from fame_cli.core.limits import Census, Limits
from fame_cli.core.link import LOCAL, Link
from fame_cli.core.mailing import Mailing
from fame_cli.core.mesh import flush
from fame_cli.core.pacing import resume, wake
from fame_cli.core.parking import Parking
from fame_cli.core.publish import begin, farewell, publish
from fame_cli.core.reach import settle
from fame_cli.core.receiving import refuse_rate, take
from fame_cli.core.session import Event, Session, State, fire
from fame_cli.core.settings import Settings
from fame_cli.core.state import NodeState, credit_back, send
from fame_cli.core.table import Name, RouteTable
from fame_cli.core.upkeep import SWEEP_S, sweep

__all__ = ["NodeCore"]


class NodeCore(Mailing):
    """Decide everything a node decides.

    Args:
        settings: what the node is told at its birth.
        new_id: makes a fresh 16-character id.
        stamp: makes the text of an envelope's `ts`.
        gate: decides who may do what, and signs; everybody may do everything when None.
        now: when its life begins.
    """

    def __init__(
        self,
        settings: Settings,
        new_id: Callable[[], str],
        stamp: Callable[[], str],
        gate: Gate | None = None,
        now: float = 0.0,
    ) -> None:
        table = RouteTable(node_id=settings.node_id, balance=settings.balance)
        self._state = NodeState(settings, new_id, stamp, flow_id=new_id(), table=table, now=now)
        self._state.outbox.name = settings.node_id
        self._state.budget.most_bytes = settings.max_held_bytes
        self._state.gate = gate or Gate()
        self._state.parking = Parking(settings.limits.unknown_keys, settings.limits.waiting_envelopes)
        self._state.census = Census(settings.limits)
        self._inbox = f"__rpc__{new_id()}"
        self._sweep_at = float("-inf")
        self.table.open_box("__sys__")
        self.table.open_box(self._inbox)
        if settings.routes:
            begin(self._state)

    @property
    def table(self) -> RouteTable:
        """The route table, to be read."""
        return self._state.table

    @property
    def settings(self) -> Settings:
        """What the node was told at its birth."""
        return self._state.settings

    @property
    def state(self) -> NodeState:
        """What the node knows, to be read (``report.py``)."""
        return self._state

    def sessions(self) -> list[Session]:
        """Return the sessions of all links, oldest first, to be read."""
        return list(self._state.sessions.values())

    def calls_in_flight(self) -> int:
        """Return how many calls this node asks, carries or serves now."""
        return len(self._state.calls)

    def crowded(self, host: str, grant: Grant | None = None) -> str:
        """Say why one more link from a host, or under a grant, is one too many; "" when it isn't."""
        return self._state.census.crowded(host, grant.holder if grant is not None else None)

    def dialed_links(self) -> int:
        """Return how many links that we dialled are in use, counting a peer that is linked the other way round."""
        links = [link for link in (*self.table.peers.values(), self.table.parent) if link is not None]
        return sum(self._state.sessions[link].state is State.OPEN for link in links)

    # What happened

    def link_opened(self, link: Link, now: float) -> list[Effect]:
        """Take a link whose transport is up."""
        self._state.now = now
        self._state.sessions[link] = attach.open_link(self._state, link, now)
        if self._sweep_at == float("-inf"):  # one that is due isn't put off: links may open all the time
            self._sweep_at = now + SWEEP_S
        return self._effects()

    def receive(self, link: Link, data: bytes, now: float) -> list[Effect]:
        """Take one message of a link. Whatever it holds, nothing raises and no other link is touched."""
        state, session = self._state, self._state.sessions.get(link)
        if session is None:
            return []
        session.last_heard = state.now = now
        lines = parted(data) if SEPARATOR in data and BATCH in link.extensions else [data]
        if not lines:
            state.note("envelope_rejected", "warning", link=link.number, reason="too many in a message, or none")
        meter = session.meter
        handle = take if meter is None or meter.takes(len(lines), len(data), now) else refuse_rate
        for line in lines:
            handle(state, session, line, now)
        if state.renaming:
            return self._effects() + self._give_way()
        return self._effects()

    def link_closed(self, link: Link) -> list[Effect]:
        """Take the end of a link's transport; nothing happens when the link was given up before."""
        session = self._state.sessions.get(link)
        if session is not None:
            attach.close(self._state, session)
        return self._effects()

    def link_stalled(self, link: Link) -> list[Effect]:
        """Take that the transport accepts no more bytes for now."""
        session = self._state.sessions.get(link)
        if session is not None:
            session.flow.stalled = True
        return self._effects()

    def is_stalled(self, link: Link) -> bool:
        """Tell whether envelopes of a link wait for its transport."""
        session = self._state.sessions.get(link)
        return session is not None and session.flow.stalled

    def link_drained(self, link: Link) -> list[Effect]:
        """Take that the transport accepts bytes again; call it again while `is_stalled` and the transport agrees."""
        session = self._state.sessions.get(link)
        if session is not None:
            resume(self._state, session)
        return self._effects()

    def tick(self, now: float) -> list[Effect]:
        """Take that time has passed; call it at `next_deadline` or later."""
        self._state.now = now
        ending.end_overdue(self._state, now)
        wake(self._state, now)
        flush(self._state, now)
        inbox.tick(self._state, now)
        outbox.tick(self._state, now)
        if has_listeners(self._state):  # they are told of what comes within reach before anybody looks it up
            settle(self._state, now)
        if now >= self._sweep_at:
            sweep(self._state, now, self._sweep_at)
            self._sweep_at = now + SWEEP_S if self._state.sessions else float("-inf")
        return self._effects()

    def next_deadline(self) -> float | None:
        """Return when `tick` has something to do, None when nothing waits for time."""
        state = self._state
        earliest = state.calls.next_deadline()
        deadline = inf if earliest is None else earliest
        if state.sessions and self._sweep_at < deadline:
            deadline = self._sweep_at
        if state.mesh is not None and state.mesh.flush_at is not None and state.mesh.flush_at < deadline:
            deadline = state.mesh.flush_at
        if state.resting and state.wake_at < deadline:
            deadline = state.wake_at
        if state.outbox.lane_of or state.inbox.again:
            deadline = min(deadline, outbox.deadline(state), state.inbox.due)
        return deadline if deadline < inf else None

    # What the user wants: names

    def bind(self, address: str) -> list[Effect]:
        """Serve a logical or pool address here, and tell whoever should know.

        Raises:
            RemoteProtocolError: not an address.
        """
        return self._rename(address, self.table.bind(address, LOCAL))

    def unbind(self, address: str) -> list[Effect]:
        """Undo `bind`."""
        return self._rename(address, self.table.unbind(address, LOCAL))

    def advertise(self, capability: str, address: str) -> list[Effect]:
        """Offer a capability under an address of this node."""
        return self._rename((capability, address), self.table.advertise(capability, address, LOCAL))

    def withdraw(self, capability: str, address: str) -> list[Effect]:
        """Undo `advertise`."""
        return self._rename((capability, address), self.table.withdraw(capability, address, LOCAL))

    # What the user wants: calls

    def call(
        self,
        to: str | None,
        method: str,
        params: bytes,
        now: float,
        *,
        capabilities: list[str] | None = None,
        streaming: bool = False,
        timeout_s: float = 30.0,
        trace: bool = False,
        session: str | None = None,
        packs: bool = False,
        seal_to: str = "",
    ) -> tuple[CallKey, list[Effect]]:
        """Ask an operation; exactly one `CallEnded` with the key follows, for a stream after its items.

        Args:
            to: address to ask; None to ask whoever offers all of `capabilities`.
            method: operation name.
            params: JSON of the parameters, an object (spec 8.1).
            timeout_s: seconds to wait for the answer, or for the next item of a stream; > 0.
            trace: True to have the nodes on the way write themselves into the envelope.
            session: key by which sentinels that keep sessions together choose the provider; None for the node itself.
            packs: True to take several items of a stream at once (`ItemArrived.is_pack`).
            seal_to: physical path of the node that alone may read the request; "" to send it in the clear.

        Raises:
            RemoteProtocolError: `to` isn't an address.
        """
        wish = Wish(to, method, params, capabilities, streaming, timeout_s, trace, session, packs, seal_to)
        key = ask(self._state, physical(self._inbox, self.table.path), wish, now)
        return key, self._effects()

    def cancel(self, key: CallKey) -> list[Effect]:
        """Give a call of ours up; its provider is told as far as the links on the way know how."""
        if ending.cancel(self._state, key, LOCAL, "the caller gave up"):
            self._state.effects.append(CallEnded(key, Outcome("cancelled")))
        return self._effects()

    def item_consumed(self, item: ItemArrived, now: float) -> list[Effect]:
        """Take that the reader has read an item: its producer may send another, and the reader's time runs again."""
        call = self._state.calls.get(item.key)
        if call is not None:
            call.unread -= 1
            self._state.calls.touch(item.key, call, now)
            credit_back(self._state, item.source, item.key, item.size)
        return self._effects()

    # What the user wants: answers

    def reply(self, key: CallKey, result: bytes | None, now: float) -> list[Effect]:
        """Answer a call: JSON of the result, None for null or, in a stream, for the end."""
        call = self._state.calls.get(key)
        if call is not None:
            if call.streaming and result is not None:  # a plain result to a stream request: item, then end
                answering.answer(self._state, key, result_payload(call.rpc_id, result), now, last=False)
                result = None
            answering.answer(self._state, key, result_payload(call.rpc_id, result), now, last=True)
        return self._effects()

    def reply_item(self, key: CallKey, item: bytes, now: float) -> list[Effect]:
        """Send one item of a stream; ask `writable` before the next."""
        return self.reply_items(key, [item], now)

    def reply_items(self, key: CallKey, items: list[bytes], now: float) -> list[Effect]:
        """Send several items of a stream whose caller takes them in one answer (`Request.packs`), one or more."""
        call = self._state.calls.get(key)
        if call is not None:
            array = b"[%b]" % b",".join(items) if len(items) > 1 else items[0]
            answering.answer(self._state, key, result_payload(call.rpc_id, array), now, last=False, items=len(items))
        return self._effects()

    def reply_error(self, key: CallKey, code: int, message: str, data: object, now: float) -> list[Effect]:
        """Answer a call with a JSON-RPC error; it ends a stream too."""
        call = self._state.calls.get(key)
        if call is not None:
            answering.answer(self._state, key, error_payload(call.rpc_id, code, message, data), now, last=True)
        return self._effects()

    def expire(self, key: CallKey) -> list[Effect]:
        """Refuse a call whose time was over before its turn came."""
        call = ending.abandon_call(self._state, key)
        if call is not None:
            ending.tell_caller(self._state, key, call, EXPIRED, "its time was over before its turn came")
        return self._effects()

    def writable(self, key: CallKey) -> bool:
        """Tell whether a stream's producer may send now; when not, a `FlowOpen` follows."""
        return answering.writable(self._state, key)

    # What the user wants: another name, the end

    def other_id(self) -> str:
        """Make an id for when this one's is in use: the first it had, and something nobody else has behind it."""
        return f"{self._state.outbox.name[:120]}-{self._state.new_id()[-4:]}"  # ids have up to 128 characters

    def rename(self, node_id: str) -> list[Effect]:
        """Take another id, because this one is in use: every neighbour has to attach anew and learn it."""
        state = self._state
        for session in self.sessions():
            attach.end(state, session, attach.CLOSE_NORMAL, "the node's id changed")
        state.settings = replace(state.settings, node_id=node_id)
        state.renamed_at = state.now
        self.table.node_id = node_id
        if state.settings.routes:
            begin(state)
        return self._effects()

    def renew(self, token: str, apart: Collection[Link] = ()) -> list[Effect]:
        """Show the neighbours we dialled a new credential, before the old one expires; but those `apart`."""
        self._state.gate.renew(token)
        for session in self.sessions():
            session.told.pop(self._state.gate.own_kid, None)
            if session.link.dialed and session.link not in apart:
                self._show(session, token)
        return self._effects()

    def renew_at(self, link: Link, token: str) -> list[Effect]:
        """Show one neighbour, of those that are shown something else than the others, a new credential."""
        session = self._state.sessions.get(link)
        if session is not None:
            self._show(session, token)
        return self._effects()

    def _show(self, session: Session, token: str) -> None:
        if session.is_open and session.link.is_ours:
            send(self._state, session, NodeHeartbeat(), corr_id=self._state.new_id(), meta={GRANT: token})

    def adjust(self, limits: Limits, max_hops: int, max_held_bytes: int, balance: Balance) -> list[Effect]:
        """Take other bounds, for what comes from now on; see `Settings`."""
        adjust(self._state, limits, max_hops, max_held_bytes, balance)
        return self._effects()

    def retire(self, link: Link, now: float) -> list[Effect]:
        """Use a link for nothing new; it ends with its last call."""
        retire(self._state, link, now)
        return self._effects()

    def set_cost(self, link: Link, cost: int, now: float) -> list[Effect]:
        """Have a link cost something else, as far as this end decides."""
        set_own_cost(self._state, link, cost, now)
        return self._effects()

    def wind_down(self, now: float) -> list[Effect]:
        """Take nothing new and go on with what runs, until `is_idle`; `drain` ends it, see ``draining.py``."""
        self._state.now = now
        wind_down(self._state, now)
        return self._effects()

    @property
    def is_draining(self) -> bool:
        """Tell whether the node winds down."""
        return self._state.draining_since is not None

    def is_idle(self, now: float) -> bool:
        """Tell whether a node that winds down has nothing left to do."""
        return is_idle(self._state, now)

    def drain(self) -> list[Effect]:
        """Close every link in good order (spec 2.4: code 1000); a sentinel says goodbye to the mesh first."""
        farewell(self._state)
        flush(self._state, self._state.now)
        for session in self.sessions():
            if session.state is State.OPEN:
                fire(session, Event.DRAIN)
            attach.end(self._state, session, attach.CLOSE_NORMAL, "normal closure")
        return self._effects()

    # Inside

    def _give_way(self) -> list[Effect]:
        """Take another id: a sentinel further away holds ours, too, and goes on."""
        before, name = self.settings.node_id, self.other_id()
        self._state.renaming = False
        self._state.note("id_taken", "warning", node=before, now=name)
        return self.rename(name)

    def _rename(self, name: Name, changed: bool) -> list[Effect]:
        if changed:
            publish(self._state, [name], self._state.now)
        return self._effects()
