"""How a training ends before its last step."""

from studio.runs import Action


class StopRequested(BaseException):
    """The user requested something of the run that ends this part of its work; as Ctrl-C, it is no failure."""

    def __init__(self, action: Action):
        super().__init__(action)
        self.action = action


class EarlyStop(Exception):
    """The validation loss has not fallen for so long that early stopping ends the run."""


class NonFiniteLoss(Exception):
    """A loss or a gradient is infinite or undefined."""
