"""Photos whose label looks wrong, from what a linear head says of them that has not seen them."""

import numpy as np
import pandas as pd
import torch
from cleanlab.filter import find_label_issues
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from autoparts.catalogue import below_root
from autoparts.models import Recogniser
from autoparts.sampling import Photos
from autoparts.study.backbones import pretrained_weights
from autoparts.study.run import Run

FOLDS = 5
FOUND = {"photo": int, "label": int, "likelier": int, "of its name": float, "of the likelier": float}
INVERSE_PENALTY = 10.0  # C of the logistic regression: softer than for naming, for it has to doubt what it was told


def suspicious_labels(unit: Tensor, labels: Tensor, seed: int = 0, products: np.ndarray | None = None) -> pd.DataFrame:
    """Find labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2021).

    A logistic regression on (N, D) embeddings names each photo after training on four fifths of the others. How often
    it is surer of another of the (N,) int64 labels than it usually is of that one's photos estimates how many of each
    label belong to which other; as many are suspicious, those for which the other one speaks most. Photos of one of the
    (N,) products are left out together, else those of an article with a wrong name would vouch for it.
    Returns a row for each suspicious photo, the least plausible label first: photo (its place), label, likelier,
    the probabilities of its name and of the likelier one. Labels with fewer than `FOLDS` products, or photos where
    there are none, are neither judged nor learned from.
    """
    truth = labels.numpy()
    table = pd.DataFrame({"label": truth, "product": range(len(truth)) if products is None else products})
    enough = np.flatnonzero(table.groupby("label")["product"].transform("nunique") >= FOLDS)
    known, codes = np.unique(truth[enough], return_inverse=True)
    if len(known) < 2:
        return pd.DataFrame(columns=[*FOUND]).astype(FOUND)
    groups = None if products is None else table.groupby(["label", "product"]).ngroup().to_numpy()[enough]
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = list(kind(FOLDS, shuffle=True, random_state=seed).split(enough, codes, groups))
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=300)
    with threadpool_limits(1, "blas"):  # as in `recommended.fit_head`
        chances = cross_val_predict(model, unit.numpy()[enough], codes, cv=folds, method="predict_proba")
    found = find_label_issues(codes, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    likelier = chances[found].argmax(axis=1)
    labelled, surest = chances[found, codes[found]], chances[found, likelier]
    columns = enough[found], truth[enough][found], known[likelier], labelled, surest
    return pd.DataFrame(dict(zip(FOUND, columns, strict=True)))


def suspicious_photos(run: Run, network: Recogniser, photos: Photos) -> pd.DataFrame:
    """Find training photos whose name looks wrong, by what the network's backbone sees in them as it came.

    So none of these names has shaped what is compared; a network that was trained from scratch has to judge photos it
    was trained on, and finds fewer. Takes the network and the photos as it sees them; returns a row for each suspect,
    the least plausible name first: photo, name, likelier, row (in the pixels), the probabilities of both names.
    """
    if backbone := network.architecture["backbone"]:
        network = Recogniser(1, **network.architecture | {"views": [1.0]}).to(memory_format=torch.channels_last).eval()
        network.load_pretrained(pretrained_weights(backbone))
    features = run.features(network.to(photos.device), photos)[photos.rows["train"]]
    unit = F.normalize(features - features.mean(dim=0), dim=1)
    train, names = run.study.subset("train"), np.array(run.study.categories, dtype=object)
    products = train["product"].to_numpy() if "product" in train else None
    found = suspicious_labels(unit, photos.labels["train"].cpu(), run.study.seed, products)
    suspects = train.iloc[found["photo"]]
    columns = {"photo": below_root(suspects["path"], train["path"]).to_numpy(), "name": names[found["label"]]}
    columns |= {"likelier": names[found["likelier"]], "row": suspects["row"].to_numpy()}
    return pd.DataFrame(columns).join(found[["of its name", "of the likelier"]])
