"""Figures of a suite that never ran, as `results.to_json` gives them."""


def metrics(*, items=1000, asked=1000, problems=()):
    def one(tasks, published=None):
        return {
            "items": items,
            "published": {"items": published, "captions": None},
            "problems": list(problems),
            "left_out": {},
            "health": {"video": {"effective_rank": 12.34, "uniformity": -2.0, "gap_to_text": 0.5}},
            "tasks": tasks,
        }

    def task(values, drop_one=None):
        headline = next(iter(values))
        return {
            "n": min(items, asked - len(problems)),
            "asked": asked,
            "metrics": values,
            "chance": 0.001,
            "interval": {headline: [values[headline] - 0.03, values[headline] + 0.03]},
            "drop_one": drop_one or {},
        }

    recall = {"R@1": 0.426, "R@5": 0.654, "R@10": 0.755, "median_rank": 2.0}
    joint = task({"R@1": 0.42}, {"audio": {"R@1": 0.414}, "video": {"R@1": 0.1}})
    return {
        "benchmarks": {
            "msrvtt": one({"text->video": task(recall), "audio+video->text": joint}, 1000),
            "audioset": one({"audio->text": task({"mAP": 0.277})}),
            "smoke": one({"video->text": task({"p00": 0.99, "p01": 0.01, "p10": 0.0, "p11": 1.0})}),
        },
        "left_out": {"msvd": "no folder msvd"},
    }
