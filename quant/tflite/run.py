"""Run the records of a .tflite, as the interpreter does."""

from __future__ import annotations

from typing import Any

from ai_edge_litert.interpreter import Interpreter

from cython_ext.specs import Floats
from quant.tflite.records import Model
from quant.tflite.write import write_model
from rpi_runtime.errors import ParityError


class Runner:
    """Runs a model on many images with one interpreter.

    Parameters
    ----------
    model : Model

    Raises
    ------
    ParityError
        The interpreter cannot run the model.
    """

    def __init__(self, model: Model) -> None:
        try:
            self._interpreter = Interpreter(model_content=write_model(model), num_threads=1)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as err:
            reason = " ".join(str(err).split())[:300]
            raise ParityError(
                f"the interpreter refuses the converted network ({reason}); please report it"
            ) from err
        self._run = self._interpreter.get_signature_runner()
        (self._entry,) = model.inputs

    def __call__(self, image: Floats) -> dict[str, Any]:
        """Return the outputs by name for one (1, H, W, 3) image, as the interpreter stores them."""
        outputs: dict[str, Any] = self._run(**{self._entry: image})
        return outputs


def run_model(model: Model, image: Floats) -> dict[str, Any]:
    """Run a model on one (1, H, W, 3) image; return the outputs by name, as the interpreter stores them."""
    return Runner(model)(image)
