"""What is read out of perf's samples."""

import pytest

from bench import profile

SCRIPT = """
        ffffffff81 tcp_sendmsg+0x1f ([kernel.kallsyms])
        7f01 __pyx_f_5plane_5http1_6server_10Connection_answer+0x40 (/x/server.cpython-311-x86_64-linux-gnu.so)
        7f02 _PyEval_EvalFrameDefault+0x10 (/usr/lib/libpython3.11.so.1.0)

        7f03 _PyEval_EvalFrameDefault+0x20 (/usr/lib/libpython3.11.so.1.0)

"""


@pytest.mark.parametrize(
    ("symbol", "plain"),
    [
        ("__pyx_f_4core_6splice_scan", "core.splice.scan"),
        ("__pyx_f_5plane_5http1_6server_10Connection_answer", "plane.http1.server.Connection.answer"),
        ("__pyx_pw_5plane_5admit_1admit", "plane.admit.admit"),
        ("__pyx_tp_dealloc_5plane_8exchange_Exchange", "plane.exchange.Exchange"),
        ("__pyx_f_4core_3sse_9EventScan_feed.part.0", "core.sse.EventScan.feed"),
        ("finish_task_switch.isra.0", "finish_task_switch"),
        ("_PyObject_Malloc", "_PyObject_Malloc"),
    ],
)
def test_a_symbol_reads_as_in_the_source(symbol: str, plain: str) -> None:
    assert profile.demangled(symbol) == plain


def test_stacks_keep_function_and_library_from_the_inside_out() -> None:
    assert profile.stacks(SCRIPT) == [
        [
            ("tcp_sendmsg", "kernel"),
            ("plane.http1.server.Connection.answer", "server"),
            ("_PyEval_EvalFrameDefault", "libpython3"),
        ],
        [("_PyEval_EvalFrameDefault", "libpython3")],
    ]


def test_a_name_counts_once_for_each_sample_that_has_it() -> None:
    table = profile.shares([["a", "b", "a"], ["a"], ["c"], ["a"]], 2)
    assert table.splitlines() == ["  75.0%  a", "  25.0%  b"]
