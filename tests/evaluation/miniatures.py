"""Every published test set in miniature, as it lies on disk, with real media files.

    folder = miniatures.write("msrvtt", tmp_path)  # tmp_path / "msrvtt"
    split = layouts.LAYOUTS["msrvtt"].read(folder)

A set has three to six items, whole and without any problem but that class folders hold few of the
classes and, of course, few of the published items. What a file holds depends on its kind and its
number alone: pictures of 64x48 in a colour, clips of a second that brighten, tones.
"""

import fractions
import functools
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile
from PIL import Image

RATE_HZ = 16_000
SIZE = (64, 48)  # width, height


def write(name: str, root: Path) -> Path:
    """Writes a data set into `root / name` and returns that folder.

    Args:
      name: a key of `WRITERS`, which has those of `layouts.LAYOUTS`.
      root: the folder that holds the data sets' folders.
    """
    folder = root / name
    folder.mkdir(parents=True)
    WRITERS[name](folder)
    return folder


@functools.cache
def picture(number: int, format: str = "JPEG") -> bytes:
    """Encodes a 64x48 picture of a colour and a ramp."""
    ramp = np.linspace(0, 99, SIZE[0], dtype=np.uint8)[None, :, None]
    pixels = np.broadcast_to(ramp + _colour(number), (SIZE[1], SIZE[0], 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, format)
    return file.getvalue()


@functools.cache
def depth(number: int) -> bytes:
    """Encodes a 64x48 ramp of 16-bit millimetres that begins at 1,000 + 100 number."""
    ramp = (1000 + 100 * number + 10 * np.arange(SIZE[0])).astype(np.uint16)
    return cv2.imencode(".png", np.broadcast_to(ramp, SIZE[::-1]).copy())[1].tobytes()


@functools.cache
def tone(number: int, length_s: float = 0.5) -> np.ndarray:
    """Returns a tone of 200 + 50 number Hz, float32 [n]."""
    time_s = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * (200 + 50 * number) * time_s)).astype(np.float32)


@functools.cache
def sound(number: int, format: str = "WAV") -> bytes:
    """Encodes the tone."""
    file = io.BytesIO()
    soundfile.write(file, tone(number), RATE_HZ, format=format)
    return file.getvalue()


@functools.cache
def clip(number: int, format: str = "mp4", *, with_sound: bool = False, frames: int = 10) -> bytes:
    """Encodes frames of 64x48 that brighten, ten a second, with a tone as long or without."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        track = container.add_stream("aac", rate=RATE_HZ, layout="mono") if with_sound else None
        for place in range(frames):
            colour = (_colour(number) + 10 * (place % 10)).astype(np.uint8)
            pixels = np.broadcast_to(colour, (SIZE[1], SIZE[0], 3)).copy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
        if track is not None:
            samples = tone(number, frames / 10)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.rate, frame.time_base = RATE_HZ, fractions.Fraction(1, RATE_HZ)
            frame.pts = 0
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return file.getvalue()


def _colour(number: int) -> np.ndarray:
    return np.array([37 * number % 150, 59 * number % 150, 83 * number % 150])


def put(path: Path, content: bytes | str) -> Path:
    """Writes a file and the folders above it; text as UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _msrvtt(folder: Path) -> None:
    rows = ["key,vid_key,video_id,sentence"]
    for n, text in enumerate(("a man talks", '"a cat, asleep, on a mat"', "a dog barks", "rain")):
        rows.append(f"ret{n},msr{7010 + n},video{7010 + n},{text}")
        put(folder / f"videos/all/video{7010 + n}.mp4", clip(n, with_sound=True))
    put(folder / "MSRVTT_JSFUSION_test.csv", "\n".join(rows) + "\n")


def _msvd(folder: Path) -> None:
    ids = [f"mv89psg6zh4_{n}_{n + 9}" for n in range(3)]
    put(folder / "test_list.txt", "\n".join(ids) + "\n")
    words = [
        [["a", "bird", "bathes"], ["a", "bird", "in", "a", "sink"]],
        [["a", "man", "rides"]],
        [["two", "dogs", "run"], ["dogs", "play"], ["a", "race"]],
    ]
    captions = dict(zip(ids, words, strict=True)) | {"other_0_9": [["not", "of", "the", "test"]]}
    put(folder / "raw-captions.pkl", pickle.dumps(captions, protocol=2))
    for n, id_ in enumerate(ids):
        put(folder / f"YouTubeClips/{id_}.avi", clip(n, "avi"))


def _didemo(folder: Path) -> None:
    ids = [f"1234{n}@N00_555{n}_abcdef" for n in range(3)]
    put(folder / "test_list.txt", "\n".join(f"{id_}.mp4" for id_ in ids) + "\n")
    rows = [
        {"video": f"{ids[n]}.mp4", "description": text, "times": [[0, 1]]}
        for n, text in ((0, "a door opens"), (1, "waves"), (0, "a cat comes in"), (2, "first step"))
    ]
    put(folder / "test_data.json", json.dumps(rows))
    for n, id_ in enumerate(ids):
        put(folder / f"videos/{id_}.mp4", clip(n, with_sound=True))


def _activitynet(folder: Path) -> None:
    ids = ["v_uqiMw7tQ1Cc", "v_bXdq2zI1Ms0", "v_FsS_NCZEfaI"]
    put(folder / "val_ids.json", json.dumps(ids))
    rows = {
        id_: {
            "duration": 0.5 + n,
            "timestamps": [[0, 0.2], [0.2, 0.5]],
            "sentences": [f"Person {n} stands.", " They jump."],
        }
        for n, id_ in enumerate(ids)
    }
    put(folder / "val_1.json", json.dumps(rows))
    for n, id_ in enumerate(ids):
        put(folder / f"Videos/Activity_Videos/{id_}.mp4", clip(n, with_sound=True))


def _lsmdc(folder: Path) -> None:
    rows = []
    for n, text in enumerate(('SOMEONE says "no".', "She runs.", "A car, then a bus.")):
        movie = f"100{n}_Some_Movie"
        id_ = f"{movie}_00.0{n}.03.170-00.0{n}.06.675"
        rows.append("\t".join((id_, "0", "1", "0", "1", text)))
        put(folder / f"{movie}/{id_}.avi", clip(n, "avi", with_sound=True))
    put(folder / "LSMDC16_challenge_1000_publictect.csv", "\r\n".join(rows) + "\r\n")


def _valor32k(folder: Path) -> None:
    ids = [f"abcdefghij{n}_30.000_40.000" for n in range(3)]
    rows = [{"video_id": id_, "desc": f"A man with hat {n} sings."} for n, id_ in enumerate(ids)]
    put(folder / "desc_test.json", json.dumps(rows))
    for n, id_ in enumerate(ids):
        put(folder / f"videos/{id_}.mp4", clip(n, with_sound=True))


def _youcook2(folder: Path) -> None:
    database = {
        f"abcdefghij{n}": {
            "subset": subset,
            "duration": 4.0,
            "recipe_type": "113",
            "annotations": [{"id": 0, "segment": [1, 3], "sentence": f"fry for {n} minutes"}],
        }
        for n, subset in enumerate(("validation", "training", "validation", "validation"))
    }
    put(folder / "youcookii_annotations_trainval.json", json.dumps({"database": database}))
    for n in (0, 2, 3):
        put(folder / f"raw_videos/validation/113/abcdefghij{n}.mp4", clip(n, frames=40))


def _vatex(folder: Path) -> None:
    ids = [f"abcdefghi_{n}_000030_000040" for n in range(3)]
    rows = [
        {"videoID": id_, "enCap": [f"Person {n} rows.", f"A boat, seen {n} times."], "chCap": ["x"]}
        for n, id_ in enumerate(ids)
    ]
    put(folder / "vatex_public_test_english_v1.1.json", json.dumps(rows))
    for n, id_ in enumerate(ids):
        put(folder / f"videos/{id_}.mp4", clip(n, with_sound=True))


def _msrvtt_caption(folder: Path) -> None:
    ids = [f"video{7010 + n}" for n in range(3)]
    splits = ("test", "test", "train")
    texts = ((0, "a man sings"), (1, "a cat runs"), (0, "someone sings"), (2, "not of the test"))
    value = {
        "videos": [{"video_id": id_, "split": one} for id_, one in zip(ids, splits, strict=True)],
        "sentences": [{"video_id": ids[n], "caption": text} for n, text in texts],
    }
    put(folder / "test_videodatainfo.json", json.dumps(value))
    for n, id_ in enumerate(ids[:2]):
        put(folder / f"videos/all/{id_}.mp4", clip(n, with_sound=True))


def _coco(folder: Path) -> None:
    images = []
    for n, split in enumerate(("test", "restval", "test", "test")):
        name = f"COCO_val2014_00000000000{n}.jpg"
        sentences = [{"raw": f"A bus, number {n}."}, {"raw": f"Bus {n}"}]
        images.append({"filename": name, "split": split, "sentences": sentences, "cocoid": n})
        if split == "test":
            put(folder / "val2014" / name, picture(n))
    put(folder / "dataset_coco.json", json.dumps({"images": images, "dataset": "coco"}))


def _msrvtt_qa(folder: Path) -> None:
    asked = ((7010, "who sings?", "man"), (7011, "what runs?", "cat"), (7010, "what is it?", "tv"))
    rows = [
        {"id": 158581 + n, "video_id": video, "question": question, "answer": answer}
        for n, (video, question, answer) in enumerate(asked)
    ]
    put(folder / "test_qa.json", json.dumps(rows))
    for n in range(2):
        put(folder / f"videos/all/video{7010 + n}.mp4", clip(n, with_sound=True))


def _msvd_qa(folder: Path) -> None:
    asked = ((1, "what bathes?", "bird"), (3, "who rides?", "man"), (1, "where?", "sink"))
    rows = [
        {"id": n, "video_id": video, "question": question, "answer": answer}
        for n, (video, question, answer) in enumerate(asked)
    ]
    put(folder / "test_qa.json", json.dumps(rows))
    ids = [f"mv89psg6zh4_{n}_{n + 9}" for n in range(3)]
    mapping = "".join(f"{id_} vid{n + 1}\n" for n, id_ in enumerate(ids))
    put(folder / "youtube_mapping.txt", mapping)
    for n in (0, 2):
        put(folder / f"YouTubeClips/{ids[n]}.avi", clip(n, "avi"))


def _tgif_qa(folder: Path) -> None:
    rows = ["gif_name\tquestion\tanswer\ttype"]
    rows += ["tumblr_a1\twhat is the dog wearing?\that\t0", "tumblr_b2\twho waves?\tman\t0"]
    put(folder / "Test_frameqa_question.csv", "\n".join(rows) + "\n")
    for n, name in enumerate(("tumblr_a1", "tumblr_b2")):
        put(folder / f"gifs/{name}.mp4", clip(n))


def _activitynet_qa(folder: Path) -> None:
    asked = (("aaa", "is it raining", "no"), ("bbb", "who runs", "dog"), ("aaa", "where", "park"))
    keys = [f"{name}_{n}" for n, (name, _, _) in enumerate(asked)]
    questions = [
        {"video_name": name, "question": question, "question_id": key}
        for key, (name, question, _) in zip(keys, asked, strict=True)
    ]
    answers = [
        {"answer": answer, "type": 3, "question_id": key}
        for key, (_, _, answer) in zip(keys, asked, strict=True)
    ]
    put(folder / "test_q.json", json.dumps(questions))
    put(folder / "test_a.json", json.dumps(answers))
    for n, name in enumerate(("aaa", "bbb")):
        put(folder / f"videos/v_{name}.mp4", clip(n))


def _music_avqa(folder: Path) -> None:
    asked = (
        ("00000093", "Is the <Object> left of the <Object>?", '["piano", "flute"]', "yes"),
        ("00000294", "How many instruments are there?", "[]", "two"),
    )
    rows = [
        {
            "video_id": video,
            "question_id": n,
            "type": '["Visual", "Location"]',
            "question_content": question,
            "templ_values": words,
            "anser": answer,
        }
        for n, (video, question, words, answer) in enumerate(asked)
    ]
    put(folder / "avqa-test.json", json.dumps(rows))
    for n, (video, *_) in enumerate(asked):
        put(folder / f"videos/{video}.mp4", clip(n, with_sound=True))


def _clotho(folder: Path) -> None:
    rows = ["file_name," + ",".join(f"caption_{i}" for i in range(1, 6))]
    for n, name in enumerate(("Rain on a roof, far.wav", "busy street.wav", "01 hum.2.wav")):
        rows.append(",".join((f'"{name}"', *(f'"Sound {n}, heard as {i}."' for i in range(1, 6)))))
        put(folder / "evaluation" / name, sound(n))
    put(folder / "clotho_captions_evaluation.csv", "\r\n".join(rows) + "\r\n")


def _audiocaps(folder: Path) -> None:
    rows = ["audiocap_id,youtube_id,start_time,caption"]
    for n, (youtube, text) in enumerate(
        (y, t) for t in ("near", "far") for y in ("abc", "d-f", "g")
    ):
        rows.append(f'{100 + n},{youtube},3{len(youtube)},"A bell, {text}, by {youtube}"')
    put(folder / "test.csv", "\n".join(rows) + "\n")
    for n, name in enumerate(("abc_33.wav", "d-f.flac", "Yg.wav")):
        put(folder / "audio" / name, sound(n, name.rsplit(".")[-1].upper()))


def _kinetics(folder: Path) -> None:
    rows = [("val/a1.mp4", "0"), ("val/b 2.mp4", "air drumming"), ("val/c3.mp4", "archery")]
    put(folder / "val.csv", "".join(f"{path} {label}\n" for path, label in rows))
    for n, (path, _) in enumerate(rows):
        put(folder / path, clip(n))


def _pictures(folder: Path, names: tuple[str, ...], encode: Callable[[int], bytes]) -> None:
    for n, name in enumerate(names):
        put(folder / name, encode(n))


def _imagenet(folder: Path) -> None:
    names = ("n01440764/ILSVRC2012_val_00000293", "n01443537/ILSVRC2012_val_00000236")
    names = (names[0], "n01440764/ILSVRC2012_val_00002138", names[1])
    _pictures(folder / "val", tuple(f"{name}.JPEG" for name in names), picture)


def _nyu_depth(folder: Path) -> None:
    names = ("bathroom/0509", "bedroom/0001", "bedroom/0002", "others/0700")
    _pictures(folder / "data/val", tuple(f"{name}.png" for name in names), depth)
    _pictures(folder / "rgb/val", tuple(f"{name}.jpg" for name in names), picture)


def _sun_depth(folder: Path) -> None:
    samples = {"kv1/NYUdata/NYU0001": "kitchen", "kv2/b3do/img_0064": "office", "xtion/x/1": "lab"}
    put(folder / "test.txt", "".join(f"{one}\n" for one in samples))
    for n, (one, scene) in enumerate(samples.items()):
        put(folder / one / "scene.txt", scene)
        put(folder / one / f"depth_mm/{n}.png", depth(n))
        put(folder / one / f"image/{n}.jpg", picture(n))


def _llvip(folder: Path) -> None:
    names = ("background/190001_0.jpg", "person/190001_0.jpg", "person/190001_1.jpg")
    _pictures(folder / "infrared", names, lambda n: picture(n + 3))
    _pictures(folder / "visible", names, picture)


def _flir_v1(folder: Path) -> None:
    _pictures(folder / "val", tuple(f"{c}/1.jpeg" for c in ("bicycle", "car", "dog")), picture)


def _flir_v2(folder: Path) -> None:
    names = tuple(f"{c}/1.jpg" for c in ("bike", "light", "other vehicle", "truck"))
    _pictures(folder / "val", names, picture)


def _esc50(folder: Path) -> None:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for n, label in enumerate(("dog", "chirping_birds", "brushing_teeth")):
        name = f"{n + 1}-100032-A-{n}.wav"
        rows.append(f"{name},{n + 1},{n},{label},True,100032,A")
        put(folder / "audio" / name, sound(n))
    put(folder / "meta/esc50.csv", "\n".join(rows) + "\n")


def _vggsound(folder: Path) -> None:
    rows = [
        '---g-f_I2yQ,1,"people marching",test',
        '--0PQM4-hqg,30,"waterfall burbling",train',
        'a-bcdefghij,120,"alligators, crocodiles hissing",test',
        "k1234567890,0,air horn,test",
    ]
    put(folder / "vggsound.csv", "\n".join(rows) + "\n")
    for n, id_ in enumerate(("---g-f_I2yQ_000001", "a-bcdefghij_000120", "k1234567890_000000")):
        put(folder / f"audio/{id_}.wav", sound(n))
        put(folder / f"video/{id_}.mp4", clip(n, with_sound=True))


def _audioset(folder: Path) -> None:
    rows = [
        "# Segments csv created Sun Mar  5 10:54:25 2017",
        "# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4",
        "# YTID, start_seconds, end_seconds, positive_labels",
        '--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/0bt9lr"',
        '-0RWZT-miFs, 420.000, 430.000, "/m/09x0r"',
        'YabcdefghiY, 30.000, 40.000, "/m/05zppz"',
    ]
    put(folder / "eval_segments.csv", "\n".join(rows) + "\n")
    for n, name in enumerate(("Y--4gqARaEJE.wav", "-0RWZT-miFs.flac", "YYabcdefghiY.wav")):
        put(folder / "eval_segments" / name, sound(n, name.rsplit(".")[-1].upper()))


def _ave(folder: Path) -> None:
    rows = ["Church bell&RUhOCu3LNXM&good&0&10", "Bark&a-_1234567Z&good&1&3", "Horse&h&good&0&1"]
    put(folder / "testSet.txt", "\n".join(rows) + "\n")
    for n, row in enumerate(rows):
        put(folder / f"AVE/{row.split('&')[1]}.mp4", clip(n, with_sound=True, frames=30))


def _smoke(folder: Path) -> None:
    for n in range(2):
        put(folder / f"assets/video/{n}.mp4", clip(n))
        put(folder / f"assets/image/{n}.jpg", picture(n))
        put(folder / f"assets/depth/{n}.png", depth(n))
        put(folder / f"assets/audio/{n}.wav", sound(n))
        put(folder / f"assets/thermal/{n}.jpg", picture(n + 2))


# name: writes its files into its folder
WRITERS: dict[str, Callable[[Path], None]] = {
    "msrvtt": _msrvtt,
    "msvd": _msvd,
    "didemo": _didemo,
    "activitynet": _activitynet,
    "lsmdc": _lsmdc,
    "valor32k": _valor32k,
    "vatex": _vatex,
    "youcook2": _youcook2,
    "msrvtt_caption": _msrvtt_caption,
    "coco": _coco,
    "msrvtt_qa": _msrvtt_qa,
    "msvd_qa": _msvd_qa,
    "tgif_qa": _tgif_qa,
    "activitynet_qa": _activitynet_qa,
    "music_avqa": _music_avqa,
    "clotho": _clotho,
    "audiocaps": _audiocaps,
    "k400": _kinetics,
    "k600": _kinetics,
    "imagenet": _imagenet,
    "nyu_depth": _nyu_depth,
    "sun_depth": _sun_depth,
    "llvip": _llvip,
    "flir_v1": _flir_v1,
    "flir_v2": _flir_v2,
    "esc50": _esc50,
    "vggsound": _vggsound,
    "audioset": _audioset,
    "ave": _ave,
    "smoke": _smoke,
}
