"""Where pictures come from: cameras, streams, video files, folders of images, recordings."""
