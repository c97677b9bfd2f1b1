"""ReportKeys: names of what the worker of a trial reports to the driver through Ray Tune.

A report has one subject: a fault, a failure, a rung, or one of the others. `trainable` and `moves`
write reports, and `hooks` reads them. A text is JSON: Tune would keep statistics of every number.
"""

FAULT = "fault"  # why no trial can go on: the search halts

# A mistake, or another error that would happen again, ends the trial.
FAILURE = "failure"  # its reason
CAUSE = "cause"  # of the failure, a `Cause`
TRACEBACK = "traceback"  # of an error that we did not expect; "" for others

PARTS = "parts"  # number of parts of a batch with which the trial must begin again
NODE = "node"  # text on what the trial's node lacks, or a user should know, see `moves`
SCENES = "scenes"  # text: done and total number of rendered scenes
NOTICE = "notice"  # text: host, what is announced for it, and when the trial's first step was done
WAITING = "waiting"  # text: host that waits for a store, and the store's error

IMAGES = "images"  # seen at a rung
RUNG = "rung"  # text: metrics and effective settings at the rung

# What Tune need not keep in memory once the driver has read it.
TEXTS = (NODE, SCENES, NOTICE, WAITING, RUNG)
