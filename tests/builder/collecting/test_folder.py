"""A folder of films and sounds, with what stands beside them."""

import json

from lb_jax.builder.collecting.settings import Folder
from tests.builder.collecting import world
from tests.media import media_files


def test_titles_and_licences_stand_beside(server, tmp_path):
    films = tmp_path / "films"
    (films / "sub").mkdir(parents=True)
    (films / "a_red-ball.mp4").write_bytes(world.FILM)
    (films / "b.mp4").write_bytes(world.FILM)
    (films / "b.txt").write_text("A blue ball rolls\n")
    (films / "sub" / "b.mp4").write_bytes(world.FILM)
    (films / "sub" / "b.json").write_text(
        json.dumps({"title": "Green", "licence": "MIT", "tags": ["ball"]})
    )
    (films / "sub" / "c.WAV").write_bytes(media_files.sound(media_files.noise(16000), 16000))
    told = {"title": "Yellow", "license": "Creative Commons Attribution license (reuse allowed)"}
    told |= {"extractor": "youtube", "webpage_url": "https://a.org/1", "tags": ["sun", "two words"]}
    (films / "sub" / "c.info.json").write_text(json.dumps(told))
    (films / "notes.md").write_text("nothing")
    cfg = Folder(licence="CC0-1.0", source="ours")
    summary, raw = world.run(tmp_path / "out", server, f"folder={films}", folder=cfg)
    assert summary.fetched == 4
    assert {one["title"]: (one["licence"], one["source"]) for one in raw.values()} == {
        "a red ball": ("CC0-1.0", "ours"),
        "A blue ball rolls": ("CC0-1.0", "ours"),
        "Green #ball": ("MIT", "ours"),
        "Yellow #sun #twowords": ("CC-BY-3.0", "youtube"),
    }
    assert len({one["file"] for one in raw.values()}) == 4
    for one in raw.values():
        assert (tmp_path / "out" / one["file"]).stat().st_size > 0
    (films / "d.mp4").write_bytes(world.FILM)  # what is added is found by the next run
    summary, more = world.run(tmp_path / "out", server, f"folder={films}", folder=cfg)
    assert (summary.fetched, len(more)) == (1, 5)
    assert {key: more[key] for key in raw} == raw
