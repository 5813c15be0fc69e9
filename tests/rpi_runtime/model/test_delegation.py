"""Which operations a delegate took, from lists as interpreters print them."""

from __future__ import annotations

from rpi_runtime.model.delegation import delegation_of


def op(name: str, inputs: list[int], outputs: list[int]) -> dict[str, object]:
    return {"op_name": name, "inputs": inputs, "outputs": outputs}


CONVS = [op("CONV_2D", [0, 9], [1]), op("RELU", [1], [2]), op("CONV_2D", [2, 8], [3]), op("ADD", [3, 1], [4])]


def test_without_delegate_everything_fell_back():
    found = delegation_of(CONVS)
    assert (found.partitions, found.delegated) == (0, 0)
    assert found.fell_back == ("CONV_2D", "RELU", "CONV_2D", "ADD")


def test_one_partition_takes_all():
    found = delegation_of([*CONVS, op("DELEGATE", [0, 8, 9], [4])])
    assert (found.partitions, found.delegated, found.fell_back) == (1, 4, ())
    assert str(found) == "4 of 4 operations in XNNPACK (1 partition)"


def test_an_operation_between_two_partitions_fell_back():
    found = delegation_of([*CONVS, op("DELEGATE", [0, 9], [1]), op("DELEGATE", [1, 2, 8], [4])])
    assert (found.partitions, found.delegated, found.fell_back) == (2, 3, ("RELU",))
    assert str(found) == "3 of 4 operations in XNNPACK (2 partitions), not: 1 RELU"


def test_a_partition_with_two_outputs_is_walked_from_both():
    ops = [op("CONV_2D", [0], [1]), op("CONV_2D", [1], [2]), op("CONV_2D", [1], [3])]
    found = delegation_of([*ops, op("DELEGATE", [0], [2, 3])])
    assert (found.delegated, found.fell_back) == (3, ())
