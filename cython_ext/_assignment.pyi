import numpy as np
from numpy.typing import NDArray

class Assignment:
    def __init__(self, capacity: int) -> None: ...

def assign(cost: NDArray[np.float64]) -> list[int]: ...
