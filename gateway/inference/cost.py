"""core: what a pass costs, learnt from the passes that were run.

A pass costs a fixed part (every decoder step, whatever the batch) and a part per padded frame. Both are
learnt by least squares with forgetting. A plain mean of seconds per frame would not do: learnt from single
jobs it charges the fixed part to each job, so that no batch ever forms and nothing better is ever learnt.
"""

FORGETTING = 0.97
"""Weight that an observation keeps after each newer one: about thirty passes are remembered."""
PRIOR_WEIGHT = 0.3
"""Of each of the two supposed passes to begin with: one device may be a hundred times as fast as another."""


class PassCost:
    """seconds = fixed + slope * padded frames."""

    def __init__(self, fixed_s: float, slope_s: float) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0
        for frames in (200.0, 2000.0):
            self._add(frames, fixed_s + slope_s * frames, PRIOR_WEIGHT)
        self._prior_slope_s = slope_s

    def learn(self, padded_frames: int, seconds: float) -> None:
        """A pass of so many padded frames (over all its items) took so long."""
        for name in ("_weight", "_x", "_y", "_xx", "_xy"):
            setattr(self, name, getattr(self, name) * FORGETTING)
        self._add(float(padded_frames), seconds)

    def predict_s(self, padded_frames: int) -> float:
        slope_s = self._slope_s()
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        fixed_s = max(0.0, mean_y - slope_s * mean_x)
        return fixed_s + slope_s * padded_frames

    def _slope_s(self) -> float:
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        variance = self._xx / self._weight - mean_x**2
        if variance < 1.0:  # every pass had the same size: the split of its cost is anybody's guess
            return min(self._prior_slope_s, mean_y / mean_x)
        covariance = self._xy / self._weight - mean_x * mean_y
        return min(max(0.0, covariance / variance), mean_y / mean_x)

    def _add(self, x: float, y: float, weight: float = 1.0) -> None:
        self._weight += weight
        self._x += weight * x
        self._y += weight * y
        self._xx += weight * x * x
        self._xy += weight * x * y
