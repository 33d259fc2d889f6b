import traceback

import pytest

from lb_jax.cli import main
from lb_jax.core import errors
from lb_jax.media import faults, image


def fault(modality="image"):
    try:
        image.resized_sides(1, None, 224)
    except TypeError as error:
        return faults.Fault.of(modality, error)


def test_a_fault_names_the_exception_and_our_line():
    found = fault()
    assert found.error.startswith("TypeError: '<' not supported between instances of ")
    assert found.error.endswith(", resized_sides)")
    assert " (lb_jax/media/image.py:" in found.error
    assert found.traceback.endswith(found.error.partition(" (")[0] + "\n")


def run(outcomes, earlier=()):
    """Number of files that are through when the run is stopped; None where it is not."""
    judge = faults.Judge(["image"] * len(outcomes), earlier, "list")
    for number, outcome in enumerate(outcomes, 1):
        failed = fault() if outcome == "fault" else None
        try:
            judge.passed("image", "a", failed, is_used=outcome == "used")
        except errors.InternalError:
            return number
    return None


@pytest.mark.parametrize(
    ("outcomes", "earlier", "stopped"),
    [
        (["fault"] * 5, (), 3),
        (["fault"] * 5, ("image",), 3),
        (["damaged", "fault", "damaged", "fault", "fault"], (), 5),
        (["used"] + ["fault"] * 5, (), None),
        (["fault", "fault", "used"] + ["fault"] * 5, (), None),
        (["fault"], (), 1),
        (["fault"], ("image",), None),
        (["fault"], ("video",), 1),
        (["fault", "damaged"], (), 2),
        (["damaged", "damaged"], (), None),
    ],
)
def test_faults_at_all_of_the_first_files_stop_a_run(outcomes, earlier, stopped):
    assert run(outcomes, earlier) == stopped


def test_a_fault_of_one_modality_stops_where_another_works():
    judge = faults.Judge(["image", "video"] * 3, (), "list")
    for _ in range(2):
        judge.passed("image", "a", None, is_used=True)
        judge.passed("video", "b", fault("video"), is_used=False)
    judge.passed("image", "a", fault(), is_used=False)
    assert judge.count == 3
    with pytest.raises(errors.InternalError, match=r"first 3 video files.*list holds"):
        judge.passed("video", "b", fault("video"), is_used=False)


def test_versions_name_what_decodes():
    assert faults.versions().startswith("lb_jax ")
    assert " av " in faults.versions()


def test_the_command_ends_in_one_line_and_debug_shows_the_traceback(capsys):
    def command(_):
        faults.Judge(["image"], (), "list").passed("image", "a", fault(), is_used=False)

    assert main.guarded(command, []) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "lb_jax failed on the first 1 image file, and none could be used: TypeError" in told
    with pytest.raises(errors.InternalError) as caught:
        main.guarded(command, [], debug=True)
    assert "resized_sides" in "".join(traceback.format_exception(caught.value))
