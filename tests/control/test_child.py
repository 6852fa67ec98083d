import pytest

from control.child import restart_delay, worker_environment


def test_the_first_restart_is_at_once_and_then_the_waits_double_to_half_a_minute() -> None:
    delays = [restart_delay(ends) for ends in range(1, 12)]
    assert delays == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_crash_loop_of_any_length_has_a_wait() -> None:
    assert restart_delay(10**9) == 30.0


def test_a_worker_sees_what_python_needs_and_nothing_the_config_calls_a_credential() -> None:
    environment = {"PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "x", "LD_TOKEN": "named", "OPENAI_API_KEY": "s"}
    assert worker_environment(environment, frozenset({"LD_TOKEN", "OPENAI_API_KEY"})) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PYTHONPATH": "x",
    }


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "HEADGATE_DATA", "PATHS"])
def test_a_worker_sees_no_variable_that_nobody_listed(name: str) -> None:
    assert worker_environment({name: "x"}, frozenset()) == {}
