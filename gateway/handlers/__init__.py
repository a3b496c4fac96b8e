"""The methods of the contract: a request in, an answer out, whichever wire it came on."""

from __future__ import annotations

from gateway.handlers.assets import AssetHandlers
from gateway.handlers.estimates import EstimateHandlers
from gateway.handlers.jobs import JobHandlers
from gateway.handlers.operations import OperationsHandlers
from gateway.handlers.playlist import PlaylistHandlers
from gateway.handlers.steps import StepHandlers
from gateway.handlers.uploads import UploadHandlers
from gateway.pipeline import IntakeHandler, StreamHandler, UnaryHandler


def unary_handlers(
    assets: AssetHandlers,
    uploads: UploadHandlers,
    jobs: JobHandlers,
    estimates: EstimateHandlers,
    playlists: PlaylistHandlers,
    steps: StepHandlers,
    operations: OperationsHandlers,
) -> dict[str, UnaryHandler]:
    """Every method that gives one answer."""
    return {
        "framewire.v1.AssetService/CreateUpload": uploads.create_upload,
        "framewire.v1.AssetService/CompleteUpload": uploads.complete_upload,
        "framewire.v1.AssetService/GetUpload": uploads.get_upload,
        "framewire.v1.AssetService/SignUploadParts": uploads.sign_upload_parts,
        "framewire.v1.AssetService/GetAsset": assets.get_asset,
        "framewire.v1.AssetService/ListAssets": assets.list_assets,
        "framewire.v1.AssetService/DeleteAsset": assets.delete_asset,
        "framewire.v1.AssetService/CreateDownloadUrl": assets.create_download_url,
        "framewire.v1.JobService/CreateJob": jobs.create_job,
        "framewire.v1.JobService/EstimateJob": estimates.estimate_job,
        "framewire.v1.JobService/GetJob": jobs.get_job,
        "framewire.v1.JobService/ListJobs": jobs.list_jobs,
        "framewire.v1.JobService/CancelJob": jobs.cancel_job,
        "framewire.v1.JobService/RetryJob": jobs.retry_job,
        "framewire.v1.JobService/GetPlaylist": playlists.get_playlist,
        "framewire.v1.StepService/ListSteps": steps.list_steps,
        "framewire.v1.StepService/GetStep": steps.get_step,
        "framewire.v1.OperationsService/ListWorkers": operations.list_workers,
        "framewire.v1.OperationsService/DrainWorker": operations.drain_worker,
        "framewire.v1.OperationsService/ResumeWorker": operations.resume_worker,
        "framewire.v1.OperationsService/ListLanes": operations.list_lanes,
        "framewire.v1.OperationsService/PauseLane": operations.pause_lane,
        "framewire.v1.OperationsService/ResumeLane": operations.resume_lane,
        "framewire.v1.OperationsService/LoadModel": operations.load_model,
        "framewire.v1.OperationsService/UnloadModel": operations.unload_model,
        "framewire.v1.OperationsService/ListDeadLetters": operations.list_dead_letters,
        "framewire.v1.OperationsService/GetDeadLetter": operations.get_dead_letter,
        "framewire.v1.OperationsService/RedriveDeadLetter": operations.redrive_dead_letter,
        "framewire.v1.OperationsService/DropDeadLetter": operations.drop_dead_letter,
    }


def stream_handlers(jobs: JobHandlers) -> dict[str, StreamHandler]:
    """Every method that streams."""
    return {"framewire.v1.JobService/WatchJob": jobs.watch_job}


def intake_handlers(uploads: UploadHandlers) -> dict[str, IntakeHandler]:
    """Every method that is asked with a stream."""
    return {"framewire.v1.AssetService/UploadAsset": uploads.upload_asset}
