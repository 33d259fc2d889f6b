"""The published test sets as they lie on disk, one reader each.

    LAYOUTS["msrvtt"].read(Path("datasets/msrvtt")) -> splits.Split

A reader takes the data set's own folder in the layout in which it is distributed, or in that of
LanguageBind's downstream tree where its docstring says so. It looks at annotations and at names of
files, never into media. What is missing, extra, twice or cannot be used is a problem of the split,
not an error; only an annotation that is absent or unreadable raises `errors.DataError`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from lb_jax.evaluation.benchmarks import splits
from lb_jax.evaluation.benchmarks.layouts import pictures, questions, sound, video_text


@dataclasses.dataclass(frozen=True)
class Layout:
    """One test set.

    Attributes:
      title: its name in print.
      read: its folder -> what is there; raises `errors.DataError`.
      counts: published "items" and "captions"; None where items have classes, or none is known.
        "questions" where there are any.
      tree: what the folder holds, in a line.
    """

    title: str
    read: Callable[[Path], splits.Split]
    counts: Mapping[str, int | None]
    tree: str


def _asked(title: str, read: Callable, items: int | None, questions: int, tree: str) -> Layout:
    counts = {"items": items, "captions": None, "questions": questions}
    return Layout(title, read, counts, tree)


def _row(title: str, read: Callable, items: int | None, captions: int | None, tree: str) -> Layout:
    return Layout(title, read, {"items": items, "captions": captions}, tree)


# Counts: MSR-VTT to ActivityNet and Clotho spec 7.1; MSVD captions CLIP4Clip; AudioCaps its paper;
# VALOR-32K its paper, rounded; Kinetics 50 clips a class, its papers; ImageNet, ESC-50 and AVE
# their papers; NYU its official split; SUN RGB-D and LLVIP ImageBind; VGGSound and AudioSet the
# rows of their csv; VATEX, COCO, MSR-VTT captions and the questions their papers.
# docs/evaluation.md says which are not verified.
LAYOUTS: dict[str, Layout] = {
    "msrvtt": _row(
        "MSR-VTT 1k-A",
        video_text.msrvtt,
        1_000,
        1_000,
        "MSRVTT_JSFUSION_test.csv, videos/**/<video_id>.mp4, perhaps audio/<video_id>.wav",
    ),
    "msvd": _row(
        "MSVD",
        video_text.msvd,
        670,
        27_763,
        "test_list.txt, raw-captions.pkl, YouTubeClips/<id>.avi",
    ),
    "didemo": _row(
        "DiDeMo", video_text.didemo, 1_004, 1_004, "test_list.txt, test_data.json, videos/<id>.*"
    ),
    "activitynet": _row(
        "ActivityNet Captions val1",
        video_text.activitynet,
        4_917,
        4_917,
        "val_ids.json, val_1.json, Videos/**/v_<id>.*",
    ),
    "lsmdc": _row(
        "LSMDC 2016 public test",
        video_text.lsmdc,
        1_000,
        1_000,
        "LSMDC16_challenge_1000_publictect.csv, <movie>/<clip>.avi",
    ),
    "valor32k": _row(
        "VALOR-32K test", video_text.valor32k, 3_500, 3_500, "desc_test.json, videos/<video_id>.mp4"
    ),
    "vatex": _row(
        "VATEX public test",
        video_text.vatex,
        6_000,
        60_000,
        "vatex_public_test_english_v1.1.json, videos/<videoID>.mp4",
    ),
    "youcook2": _row(
        "YouCook2 validation",
        video_text.youcook2,
        3_492,
        3_492,
        "youcookii_annotations_trainval.json, raw_videos/validation/<recipe>/<video>.*",
    ),
    "msrvtt_caption": _row(
        "MSR-VTT test",
        video_text.msrvtt_caption,
        2_990,
        59_800,
        "test_videodatainfo.json or MSRVTT_data.json, videos/**/<video_id>.mp4",
    ),
    "coco": _row(
        "COCO, Karpathy test",
        pictures.coco,
        5_000,
        25_010,
        "dataset_coco.json, val2014/COCO_val2014_*.jpg",
    ),
    "msrvtt_qa": _asked(
        "MSRVTT-QA test",
        questions.msrvtt_qa,
        2_990,
        72_821,
        "test_qa.json, videos/**/video<number>.mp4",
    ),
    "msvd_qa": _asked(
        "MSVD-QA test",
        questions.msvd_qa,
        520,
        13_157,
        "test_qa.json, youtube_mapping.txt, YouTubeClips/<clip>.avi",
    ),
    "tgif_qa": _asked(
        "TGIF-QA test, frames",
        questions.tgif_qa,
        None,
        13_691,
        "Test_frameqa_question.csv, gifs/<gif_name>.mp4",
    ),
    "activitynet_qa": _asked(
        "ActivityNet-QA test",
        questions.activitynet_qa,
        800,
        8_000,
        "test_q.json, test_a.json, videos/**/v_<video_name>.*",
    ),
    "music_avqa": _asked(
        "MUSIC-AVQA test",
        questions.music_avqa,
        None,
        9_129,
        "avqa-test.json, videos/**/<video_id>.mp4",
    ),
    "clotho": _row(
        "Clotho evaluation",
        sound.clotho,
        1_045,
        5_225,
        "clotho_captions_evaluation.csv, evaluation/<file_name>",
    ),
    "audiocaps": _row(
        "AudioCaps test",
        sound.audiocaps,
        975,
        4_875,
        "test.csv with audio/<youtube_id>_<start_time>.wav, or audiocaps_test.tsv and its paths",
    ),
    "k400": _row(
        "Kinetics-400 val",
        pictures.k400,
        20_000,
        None,
        "val.csv and the paths in it, or val/**/<youtube_id>_<start>_<end>.mp4",
    ),
    "k600": _row(
        "Kinetics-600 val",
        pictures.k600,
        30_000,
        None,
        "val.csv and the paths in it, or val/**/<youtube_id>_<start>_<end>.mp4",
    ),
    "imagenet": _row("ImageNet-1k val", pictures.imagenet, 50_000, None, "val/<wnid>/*.JPEG"),
    "nyu_depth": _row(
        "NYU Depth v2 test",
        pictures.nyu_depth,
        654,
        None,
        "data/val/<class>/*.png, perhaps rgb/val/<class>/*",
    ),
    "sun_depth": _row(
        "SUN RGB-D test",
        pictures.sun_depth,
        4_660,
        None,
        "test.txt; <sample>/scene.txt, <sample>/depth_mm/*.png, <sample>/image/*.jpg",
    ),
    "llvip": _row(
        "LLVIP crops",
        pictures.llvip,
        15_809,
        None,
        "infrared/{background,person}/*, perhaps visible/{background,person}/*",
    ),
    "flir_v1": _row("FLIR ADAS v1 crops", pictures.flir_v1, None, None, "val/<class>/*"),
    "flir_v2": _row("FLIR ADAS v2 crops", pictures.flir_v2, None, None, "val/<class>/*"),
    "esc50": _row("ESC-50", sound.esc50, 2_000, None, "meta/esc50.csv, audio/*.wav"),
    "vggsound": _row(
        "VGGSound test",
        sound.vggsound,
        15_496,
        None,
        "vggsound.csv, audio/<id>_<start>.wav or video/<id>_<start>.mp4",
    ),
    "audioset": _row(
        "AudioSet evaluation",
        sound.audioset,
        20_371,
        None,
        "eval_segments.csv or filter_eval.json, eval_segments/Y<id>.wav",
    ),
    "ave": _row("AVE test", sound.ave, 402, None, "testSet.txt, AVE/<id>.mp4"),
    "smoke": _row(
        "samples of LanguageBind's README",
        pictures.smoke,
        2,
        2,
        "assets/{video,image,depth,audio,thermal}/{0,1}.*",
    ),
}
