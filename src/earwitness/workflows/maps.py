"""One map of a recording: of one of its segments, or of all of it, for one target, with its verdict if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from earwitness.core.errors import UsageError
from earwitness.core.progress import NO_PROGRESS, Progress
from earwitness.explainers.attribution import Attribution, Target
from earwitness.explainers.findings import WholeExplanation
from earwitness.explainers.method import Explainer
from earwitness.explainers.regions import with_regions
from earwitness.inspection.files import segments_to_test
from earwitness.inspection.model import Model
from earwitness.inspection.recordings import LONG_SECONDS, explain_whole, explainers
from earwitness.inspection.recordings import METHODS as WHOLE_METHODS
from earwitness.models.prediction import ScoredRecording
from earwitness.trust.verdicts.assess import all_judged


@dataclass(frozen=True)
class Shown:
    """A recording whose maps are wanted.

    Parameters
    ----------
    model
        What scored it.
    path
        The file.
    scored
        Its segments with their scores.
    """

    model: Model
    path: Path
    scored: ScoredRecording

    def map_of(self, row: int, method: Explainer, target: Target, progress: Progress = NO_PROGRESS) -> Attribution:
        """Explain a segment, and measure where its evidence lies.

        Parameters
        ----------
        row
            The segment, counted from 0.
        method, target
            By what, and what.
        progress
            Told how far it is.

        Raises
        ------
        UsageError
            The network has not what the method needs.
        """
        segment = self.scored.take([row])
        found = [method.attribute(self.model.prepared, segment, [[target]], progress)]
        ((one,),) = with_regions(self.model.prepared, segment, found, progress)
        return one

    def judged(self, row: int, method: Explainer, found: Attribution, progress: Progress = NO_PROGRESS) -> Attribution:
        """Return a segment's map with a verdict, which is measured now; parameters as for :meth:`map_of`."""
        to_test = segments_to_test(self.model.classifier, self.scored)
        segment = self.scored.take([row])
        model = self.model
        ((one,),) = all_judged(model.cache, model.prepared, [method], segment, [[found]], to_test, progress)
        return one

    def whole_map(self, name: str, progress: Progress = NO_PROGRESS) -> Attribution:
        """Explain the mean score of all of the recording for a class.

        Raises
        ------
        UsageError
            It is too long for a map of all its cells, or the model takes waveforms.
        """
        if self.scored.seconds > LONG_SECONDS:
            raise UsageError(
                f"{self.scored.file}: is longer than {LONG_SECONDS:g} s; explain it with `earwitness explain --whole`, "
                "or one of its segments here"
            )
        (method,) = explainers(WHOLE_METHODS)
        found = explain_whole(self.model, self.path, self.scored, [method], classes=[name], progress=progress)
        assert isinstance(found, WholeExplanation)
        ((one,),) = found.maps
        return one.map
