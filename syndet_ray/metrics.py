"""Metrics: the names of metrics and facts that models and trials report, in code, files, MLflow and
TensorBoard.
"""

# Scores of one model on one set of images, in 0 to 1, see detection.score.
MAP = "mAP"  # mean average precision over classes and IoU .50 to .95
AP50 = "AP50"  # the same at IoU .50
AP75 = "AP75"  # the same at IoU .75
MAR = "mAR"  # mean recall
MAIN_METRICS = (MAP, AP50, AP75, MAR)
MAP_ANY_CLASS = "mAP_any_class"  # mAP with all classes taken as one
AP50_ANY_CLASS = "AP50_any_class"  # AP50 in the same way
CLASS_AP = "AP/"  # and a class: its AP over IoU .50 to .95

# Limits on predictions, see detection.evaluation: COCO counts 100 of a class in an image.
MAP_AT_300 = "mAP@300"  # mAP where 300 of a class count
CAPPED_AT_100 = "capped@100"  # share of images where a class has more than 100
CAPPED_AT_300 = "capped@300"  # share of images with 300, the most that a detector makes

# Hidden objects, see detection.obstruction.
AP_VISIBLE = "AP_visible"  # and "/" and a bin of visibility: AP of the objects in it
RECALL_VISIBLE = "recall_visible"  # the same for recall; with "/" and a class, of that class
SLOPE = "slope/"  # and "AP" or "recall": its change per unit of obstruction
ERROR = "error/"  # and a kind of error: what AP50 would gain without it, see detection.error_kinds

# Metrics that a trial reports at each rung.
VALIDATION = "val/"  # and a score: on the validation set
OBJECTIVE = VALIDATION + MAP  # what a search maximizes
VALIDATION_AP50 = VALIDATION + AP50
IMAGES_PER_SECOND = "images_per_second"  # training images, without the time that scoring takes

# What a trial took of its machine since its last report, see workers.usage. GiB is 2^30 bytes.
CPU_CORES = "machine/cpu_cores"  # mean number of cores that its processes kept busy
RSS = "machine/rss_gib"  # mean resident memory of its processes, shared images included
RSS_PEAK = "machine/rss_peak_gib"  # the most of it
GPU_PERCENT = "machine/gpu_percent"  # mean share of the time in which its GPU computed
GPU_MEMORY = "machine/gpu_memory_gib"  # most GPU memory that PyTorch held in its process
GPU_DEVICE_MEMORY = "machine/gpu_device_memory_gib"  # most memory of its GPU, other trials included
USAGE = (CPU_CORES, RSS, RSS_PEAK, GPU_PERCENT, GPU_MEMORY, GPU_DEVICE_MEMORY)
# Metrics that say nothing about how well a trial trained: no two runs share them.
CLOCKS = (IMAGES_PER_SECOND, *USAGE)

TEST = "test/"  # and a score: on the test set, in MLflow and TensorBoard

# Facts that a trial reports with its effective settings.
REAL_IMAGES = "real_images"  # real training images that it used; also a goal of a sweep
REAL_IMAGES_THERE = "real_images_there"  # real training images that it could choose from
IMAGES_SEEN = "images_seen"  # training images so far
DRAWN = "drawn"  # by source, how many of them were drawn
PLANNED = "planned"  # by source, how many of them should have been drawn
POOLS = "pools"  # by source, the number of distinct images and a hash of them
OPTIMIZER = "optimizer"  # by group of parameters: their number, and settings at the last step
RATE_SET_AT = "rate_set_at"  # training images before the last step
SCENES = "scenes"  # by source, the hash of its scene parameters
MACHINE = "machine"  # facts of the worker's machine, among them the two that follow
HOST = "machine/host"
VERSIONS = "machine/versions"  # of packages, in one line
FIRST_STEP = "first_step"  # when the first training step was done, in seconds since 1970
BATCH_PARTS = "batch_parts"  # parts of each batch that are computed one after another
SCENES_WAIT = "scenes_wait_s"  # seconds that it waited for its scenes, while it could have trained
BACKBONE_STAGES = "backbone_stages"  # how many the backbone has
TRAINABLE_BACKBONE = "trainable_backbone_parameters"  # how many parameters of it are trained
