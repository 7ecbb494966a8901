"""The same explanations by other packages, called as their documentation says and with what favours them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from earwitness.explainers.inference.layers import Layer
from earwitness.explainers.inference.scoring import activated, as_input
from earwitness.explainers.perturbation.parts import gridded
from subjects import Subject

FloatArray = npt.NDArray[Any]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep other packages' warnings from the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def forward(subject: Subject, score: str, precision: str = "float32") -> Callable[[Tensor], Tensor]:
    """Return the function that other packages explain: class scores, shape (n, classes), of segments."""
    network, device = subject.classifier.network, torch.device(subject.classifier.device)

    def scores(x: Tensor) -> Tensor:
        autocast = torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
        with autocast:
            logits = network(x)
        return activated(logits.float(), score, subject.classifier.activation)

    return scores


def given(subject: Subject) -> tuple[Tensor, list[int]]:
    """Return the segments as the network takes them, and the classes to explain."""
    return as_input(subject.classifier, subject.segments.values), [target.index for target in subject.targets]


def means(x: Tensor) -> Tensor:
    """Return segments filled with their own means, the default fill of earwitness."""
    return x.double().mean(dim=(1, 2), keepdim=True).to(x).expand_as(x).clone()


def captum_occlusion(
    subject: Subject, mask: tuple[int, int], stride: tuple[int, int], together: int = 1, precision: str = "float32"
) -> FloatArray:
    """Return Captum's maps, shape (n, frames, bands), with some perturbations of every segment at once."""
    from captum.attr import Occlusion

    x, classes = given(subject)
    method = Occlusion(forward(subject, "probability", precision))
    with quiet():
        found = method.attribute(x, mask, stride, baselines=means(x), target=classes, perturbations_per_eval=together)
    return np.asarray(found.cpu())


def captum_lime(subject: Subject, grid: int, samples: int, together: int, seed: int) -> FloatArray:
    """Return Captum's map, shape (frames, bands), of the first segment, with plain least squares as surrogate."""
    from captum._utils.models.linear_model import SkLearnLinearRegression
    from captum.attr import Lime

    x, classes = given(subject)
    labels = gridded("lime", subject.segments, grid, grid).labels
    method = Lime(forward(subject, "probability"), interpretable_model=SkLearnLinearRegression())
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        found = method.attribute(
            x[:1],
            baselines=means(x[:1]),
            target=classes[0],
            feature_mask=torch.as_tensor(labels, device=x.device)[None],
            n_samples=samples,
            perturbations_per_eval=together,
        )
    return np.asarray(found[0].cpu())


def lime_package(subject: Subject, grid: int, samples: int, together: int, seed: int) -> FloatArray:
    """Return the map, shape (frames, bands), that the authors' package makes of the first segment.

    The package explains pictures with three channels: the log-mel stands in all three, and the network hears the
    first. Its bar of progress is left out.
    """
    from lime import lime_image

    (target, *_), front = subject.targets, forward(subject, "probability")
    values = subject.segments.values[0]
    labels = gridded("lime", subject.segments, grid, grid).labels

    def predict(pictures: FloatArray) -> FloatArray:
        x = as_input(subject.classifier, np.ascontiguousarray(pictures[..., 0], dtype=np.float32))
        with torch.inference_mode():
            return np.asarray(front(x).cpu())

    bar, lime_image.tqdm = lime_image.tqdm, _plain
    try:
        with quiet():
            explained = lime_image.LimeImageExplainer(feature_selection="none", random_state=seed).explain_instance(
                values,
                predict,
                labels=(target.index,),
                hide_color=float(values.mean()),
                top_labels=None,
                num_samples=samples,
                batch_size=together,
                segmentation_fn=lambda _: labels,
            )
    finally:
        lime_image.tqdm = bar
    weights = dict(explained.local_exp[target.index])
    return np.asarray([weights[part] for part in range(grid * grid)])[labels]


def _plain(rows: FloatArray) -> FloatArray:
    return rows


def captum_gradcam(subject: Subject, together: int) -> FloatArray:
    """Return Captum's maps, shape (n, rows, columns), some segments at once."""
    from captum.attr import LayerGradCam

    x, classes = given(subject)
    method = LayerGradCam(forward(subject, "logit"), _module(subject))
    found = []
    with quiet():
        for start in range(0, len(x), together):
            rows = slice(start, start + together)
            found.append(method.attribute(x[rows], target=classes[rows], attr_dim_summation=True).detach())
    return _upright(subject, torch.cat(found)[:, 0])


def torchcam_gradcam(subject: Subject, together: int) -> FloatArray:
    """Return torchcam's maps, shape (n, rows, columns), without what is negative, some segments at once."""
    from torchcam.methods import GradCAM

    x, classes = given(subject)
    found = []
    with GradCAM(subject.classifier.network, target_layer=_module(subject)) as extractor:
        for start in range(0, len(x), together):
            rows = slice(start, start + together)
            logits = subject.classifier.network(x[rows])
            found += extractor(class_idx=classes[rows], scores=logits, normalized=False)
    return _upright(subject, torch.cat(found))


def every_channel(subject: Subject, together: int, channels: int | None = None) -> FloatArray:
    """Return Ablation-CAM of the first segment, shape (rows, columns): the whole network again for each channel.

    With ``channels``, only of the first so many of them.
    """
    (x, classes), module = given(subject), _module(subject)
    zeroed: list[int] = []
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if not zeroed:
            seen.append(output)
            return output
        copies = output.clone()
        copies[torch.arange(len(zeroed)), zeroed] = 0
        return copies

    handle = module.register_forward_hook(hook)
    try:
        with torch.inference_mode():
            score = subject.classifier.network(x[:1])[0, classes[0]].double()
            maps, drops = seen[0][0][:channels], []
            for start in range(0, len(maps), together):
                zeroed[:] = range(start, min(start + together, len(maps)))
                logits = subject.classifier.network(x[:1].expand(len(zeroed), -1, -1))
                drops.append(score - logits[:, classes[0]].double())
    finally:
        handle.remove()
    weights = torch.cat(drops).to(maps)
    return _upright(subject, torch.einsum("c,chw->hw", weights, maps)[None])[0]


def captum_integrated(subject: Subject, steps: int, together: int | None) -> FloatArray:
    """Return Captum's integrated gradients of the first segment, shape (frames, bands), from silence."""
    from captum.attr import IntegratedGradients

    x, classes = given(subject)
    with quiet():
        found = IntegratedGradients(forward(subject, "logit")).attribute(
            x[:1],
            baselines=float(subject.classifier.front_end.silence),
            target=classes[0],
            n_steps=steps,
            internal_batch_size=together,
        )
    return np.asarray(found[0].detach().cpu())


def _module(subject: Subject) -> nn.Module:
    """Return the layer that maps are made of, in the network that peers work on."""
    return subject.classifier.network.get_submodule(subject.classifier.network.feature_layer)


def _upright(subject: Subject, maps: Tensor) -> FloatArray:
    layer = Layer.chosen("gradcam", subject.prepared, "")
    return np.asarray(layer.folded(layer.upright(maps.detach()), subject.segments.values.shape[1]).cpu())
