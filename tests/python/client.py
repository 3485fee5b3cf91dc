"""Draws from both services of a running rewardpool with generated Python code.

Goal: the published proto is enough for a client of another language. Method: start the binary on
an empty directory, use every call that a player's back end needs, check the answers against each
other and against the state.
"""

import collections
import pathlib
import socket
import subprocess
import sys
import tempfile

import grpc
from rewardpool import rewardpool_pb2 as seed, rewardpool_pb2_grpc as seed_grpc
from rewardpool.v1 import rewardpool_pb2 as v1, rewardpool_pb2_grpc as v1_grpc

CONFIG = """
pool:
  catalog:
    - { item_id: diamond, quantity: 100, probability: 10 }
    - { item_id: gold, quantity: 1000, probability: 20 }
    - { item_id: mud, quantity: -1, probability: 70 }
wal:
  max_file_size_kb: 512
  formatter: string_line
"""
PATIENCE = 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def items_of(answer):
    return [answer.item_ids[n - 1] if n else None for n in answer.outcomes]


def refused(call, code):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return
    raise AssertionError(f"expected {code}")


def draw_from_v1(channel):
    pool = v1_grpc.RewardPoolStub(channel)
    one = pool.Draw(v1.DrawRequest(count=1))
    assert one.first_request_id == 1 and len(items_of(one)) == 1
    many = pool.Draw(v1.DrawRequest(count=500, idempotency_key="order-1"))
    again = pool.Draw(v1.DrawRequest(count=500, idempotency_key="order-1"))
    assert again.replayed and not many.replayed
    assert items_of(again) == items_of(many) and again.first_request_id == many.first_request_id
    found = pool.GetDraw(v1.GetDrawRequest(idempotency_key="order-1"))
    assert found.replayed and items_of(found) == items_of(many)
    for count in (0, -5, 10_001):
        bad = v1.DrawRequest(count=count)
        refused(lambda bad=bad: pool.Draw(bad), grpc.StatusCode.INVALID_ARGUMENT)
    unknown = v1.DrawRequest(pool="winter", count=1)
    refused(lambda: pool.Draw(unknown), grpc.StatusCode.NOT_FOUND)
    other = v1.DrawRequest(count=2, idempotency_key="order-1")
    refused(lambda: pool.Draw(other), grpc.StatusCode.ALREADY_EXISTS)

    requests = [v1.DrawRequest(count=1 + n % 3) for n in range(200)]
    requests[100] = v1.DrawRequest(count=0)
    answers = list(pool.DrawStream(iter(requests)))
    assert len(answers) == len(requests)
    assert answers[100].refusal.reason == "INVALID_ARGUMENT"
    drawn = [a.draw for a in answers if a.HasField("draw")]
    ids = [d.first_request_id for d in drawn]
    assert ids == sorted(ids)
    assert drawn[-1].first_request_id + len(drawn[-1].outcomes) - 1 == 501 + sum(
        r.count for n, r in enumerate(requests) if n != 100
    )
    return collections.Counter(
        item for answer in [one, many, *drawn] for item in items_of(answer)
    )


def draw_from_seed(channel):
    pool = seed_grpc.RewardPoolServiceStub(channel)
    state = pool.GetState(seed.GetStateRequest())
    assert [item.item_id for item in state.items] == ["diamond", "gold", "mud"]
    assert [item.probability for item in state.items] == [10, 20, 70]
    requests = [seed.DrawRequest(count=10), seed.DrawRequest(count=0), seed.DrawRequest(count=-3)]
    answers = list(pool.Draw(iter(requests)))
    assert len(answers) == 12, "10 draws, and twice 1 for a count that is not positive"
    ids = [answer.request_id for answer in answers]
    assert ids == list(range(ids[0], ids[0] + 12))
    assert all(answer.error == "" for answer in answers)
    return collections.Counter(answer.item_id for answer in answers)


def check_state(channel, won):
    state = v1_grpc.RewardPoolStub(channel).GetState(v1.GetStateRequest())
    for item in state.items:
        assert item.awarded == won[item.item_id], (item, won)
        assert item.quantity == -1 or item.granted == item.quantity + item.awarded
    assert state.draws == state.last_request_id == sum(won.values())


def main(binary):
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "config.yaml")
        config.write_text(CONFIG)
        address = f"127.0.0.1:{free_port()}"
        data = str(pathlib.Path(directory, "data"))
        command = [binary, "serve", "--config", str(config), "--working-dir", data]
        service = subprocess.Popen([*command, "--listen", address])
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=PATIENCE)
                won = draw_from_v1(channel) + draw_from_seed(channel)
                check_state(channel, won)
        finally:
            service.terminate()
            code = service.wait(timeout=PATIENCE)
        assert code == 0, f"the service ended with {code}"
    print(f"python client: {sum(won.values())} draws over two services, as the state says")


if __name__ == "__main__":
    main(sys.argv[1])
