"""The history of a training as TensorBoard's scalars, through the package tensorboardX."""

import contextlib
import os
import sys
import time

# tag, column of the history
SCALARS = (
    ("loss/train", "train_loss"),
    ("loss/validation", "val_loss"),
    ("accuracy/train", "train_accuracy"),
    ("accuracy/validation", "val_accuracy"),
    ("top-5/train", "train_top5"),
    ("top-5/validation", "val_top5"),
    ("lr", "lr"),
    ("images_per_second", "images_per_second"),
)


class TensorBoard:
    """Event files in `folder`, for `tensorboard --logdir FOLDER`: one scalar per column and epoch.

    The first epoch that is written hides what earlier files say of it and of later epochs, so a
    resumed training draws none twice. After an error in writing there is one warning on stderr, and
    no more events: a training goes on without them.

    Raises: ValueError where tensorboardX is not installed or does not load.
    """

    # Not tensorboardX's SummaryWriter: its thread dies of an error, such as a full disk, and its
    # queue then waits for ever.
    def __init__(self, folder):
        self.folder, self._writer, self._failed = os.path.abspath(folder), None, False
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2, summary_pb2
        except ModuleNotFoundError as error:
            raise ValueError(
                f"TensorBoard needs a package that is not here ({error}); install it with "
                '`pip install -e ".[tensorboard]"`'
            ) from error
        except Exception as error:  # its parts can be too old or too new for each other
            raise ValueError(
                f"tensorboardX cannot be loaded ({_reason(error)}); install it anew with "
                '`pip install -e ".[tensorboard]"`'
            ) from error
        self._file_type, self._events, self._summaries = EventsWriter, event_pb2, summary_pb2

    def epoch(self, row):
        """Write the values of a row of `History`, those of SCALARS that it has, at its epoch."""
        step = row["epoch"]
        if self._failed:
            return
        try:
            if self._writer is None:
                self._open(step)
            value = self._summaries.Summary.Value
            values = [
                value(tag=t, simple_value=row[column]) for t, column in SCALARS if column in row
            ]
            self._write(step, summary=self._summaries.Summary(value=values))
            self._writer.flush()
        except Exception as error:
            self._fail(error)

    def close(self):
        """Close the file. A later `epoch` opens another one."""
        if self._writer is None or self._failed:
            return
        try:
            self._writer.close()
            self._writer = None
        except Exception as error:
            self._fail(error)

    def _open(self, first):
        os.makedirs(self.folder, exist_ok=True)
        # Files are read in the order of their names, which begin with the time in seconds.
        self._writer = self._file_type(f"{self.folder}/events", f".{first:06d}")
        start = self._events.SessionLog(status=self._events.SessionLog.START)
        self._write(first, session_log=start)  # hides this epoch and later ones of earlier files

    def _write(self, step, **content):
        event = self._events.Event(wall_time=time.time(), step=step, **content)
        self._writer.write_event(event)

    def _fail(self, error):
        self._failed = True
        with contextlib.suppress(Exception):  # or the file is closed at the very end, with noise
            self._writer._py_recordio_writer.close()
        message = (
            f"TensorBoard: cannot write events into {self.folder} ({_reason(error)}); the training "
            "goes on without them"
        )
        with contextlib.suppress(OSError, ValueError):  # stderr may be closed
            print(message, file=sys.stderr, flush=True)


def _reason(error):
    """One line."""
    text = getattr(error, "strerror", None) or str(error)
    return text.partition("\n")[0] or type(error).__name__
